"""The detectors: detect-secrets' own, two of them corrected, and a few that it does not have.

Nothing here reaches the network: detect-secrets verifies a secret against its service only when
its verification filter is switched on, and nothing here switches it on.
"""

import re
from collections.abc import Collection, Generator

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.plugins.base import BasePlugin, RegexBasedDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector as LibraryGitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector as LibraryGitLabTokenDetector
from detect_secrets.plugins.high_entropy_strings import HighEntropyStringsPlugin
from detect_secrets.plugins.keyword import KeywordDetector


class UnknownDetector(ValueError):
    """A configured name that no detector has."""


class _WholeMatch(RegexBasedDetector):
    """The library reports a pattern's first group; where that is only a prefix, take it all."""

    def analyze_string(self, string: str) -> Generator[str, None, None]:
        for pattern in self.denylist:
            for match in pattern.finditer(string):
                yield match.group(0)


class GitHubTokenDetector(_WholeMatch):
    """Classic tokens as the library knows them, and the fine-grained ones."""

    secret_type = "GitHub Token"  # noqa: S105 - the name of a kind of secret
    denylist = (
        *LibraryGitHubTokenDetector.denylist,
        re.compile(r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    )


class GitLabTokenDetector(_WholeMatch):
    """The library's patterns, reported whole."""

    secret_type = "GitLab Token"  # noqa: S105 - the name of a kind of secret
    denylist = tuple(LibraryGitLabTokenDetector.denylist)


class AnthropicKeyDetector(RegexBasedDetector):
    """API and administration keys of Anthropic."""

    secret_type = "Anthropic API Key"  # noqa: S105 - the name of a kind of secret
    denylist = (re.compile(r"sk-ant-[a-z]{3,8}[0-9]{2}-[A-Za-z0-9_-]{80,120}"),)


class GoogleApiKeyDetector(RegexBasedDetector):
    """API keys of Google Cloud and its maps."""

    secret_type = "Google API Key"  # noqa: S105 - the name of a kind of secret
    denylist = (re.compile(r"\bAIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])"),)


class HuggingFaceTokenDetector(RegexBasedDetector):
    """User access tokens of the Hugging Face hub."""

    secret_type = "Hugging Face Token"  # noqa: S105 - the name of a kind of secret
    denylist = (re.compile(r"\bhf_[A-Za-z]{34}\b"),)


_OURS: tuple[type[BasePlugin], ...] = (
    AnthropicKeyDetector,
    GitHubTokenDetector,
    GitLabTokenDetector,
    GoogleApiKeyDetector,
    HuggingFaceTokenDetector,
)


def detector_classes() -> dict[str, type[BasePlugin]]:
    """Every detector by its class's name; ours stand in for the library's of the same name."""
    library: Collection[type[BasePlugin]] = get_mapping_from_secret_type_to_class().values()
    return {cls.__name__: cls for cls in (*library, *_OURS)}


def make_detectors(
    *, disabled: Collection[str], base64_limit: float, hex_limit: float
) -> list[BasePlugin]:
    """The detectors in force, the most telling first: formats, then keywords, then entropy.

    Raises UnknownDetector.
    """
    classes = detector_classes()
    unknown = sorted(set(disabled) - classes.keys())
    if unknown:
        raise UnknownDetector(
            f"no detector is called {', '.join(unknown)}; there are {', '.join(sorted(classes))}"
        )
    arguments = {
        "Base64HighEntropyString": {"limit": base64_limit},
        "HexHighEntropyString": {"limit": hex_limit},
    }
    made = [
        cls(**arguments.get(name, {}))
        for name, cls in sorted(classes.items())
        if name not in disabled
    ]
    return sorted(made, key=_vagueness)


def _vagueness(detector: BasePlugin) -> int:
    if isinstance(detector, HighEntropyStringsPlugin):
        return 2
    return 1 if isinstance(detector, KeywordDetector) else 0
