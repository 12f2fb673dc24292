"""What a stranger's Dockerfile may not say.

RUN happens in a container without network; but FROM, ADD and COPY --from are done by the engine
itself, on the host's network and with every image the host holds. So they are read before the
engine sees them. Pure: text in, refusals out.
"""

import re
from collections.abc import Iterator

from orchestrator.errors import Kind, OrchestratorError

BASE_ARGUMENT = "ORCHESTRATOR_BASE"
_BASE_NAMES = {f"${BASE_ARGUMENT}", f"${{{BASE_ARGUMENT}}}"}
_ODD = re.compile(
    r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff]|\r(?!\n)|\\\\[ \t\r]*$", re.MULTILINE
)
"""What builders of different ages read differently: control characters, an escaped backslash."""
_DIRECTIVE = re.compile(r"^\s*#\s*(escape|syntax)\s*=", re.IGNORECASE)
_COMMENT = re.compile(r"^\s*#")


class DockerfileRefused(OrchestratorError):
    """A plugin's Dockerfile would make the engine fetch or copy what is not the plugin's."""

    kind, code = Kind.DENIED, "dockerfile_refused"


def uses_base(text: str) -> bool:
    """Whether it builds on our base image."""
    return any(name in text for name in _BASE_NAMES)


def check_dockerfile(text: str, *, network: bool) -> None:
    """Raises DockerfileRefused with each line that is not allowed.

    With `network` (the operator's word that builds may reach outside) FROM may name any image.
    """
    refusals = list(dict.fromkeys(_refusals(text, network=network)))
    if refusals:
        raise DockerfileRefused("Dockerfile: " + "; ".join(refusals))


def _refusals(text: str, *, network: bool) -> Iterator[str]:
    if odd := _ODD.search(text):
        yield f"{odd.group()!r}: found where builders differ in what it means"
    for line in _lines(text):
        if _DIRECTIVE.match(line):
            yield f"{line.strip()!r}: parser directives are not taken"
    stages: set[str] = set()
    count = 0
    for words in _instructions(text):
        yield from _refusal(words, stages=stages, network=network)
        if words[0].upper() == "FROM":
            stages |= {str(count), *_stage_name(words[1:])}
            count += 1
    # And each line by itself: what we take for the rest of a RUN, a builder that joins lines in
    # another way may take for an instruction.
    for line in _lines(text):
        if words := line.split():
            yield from _refusal(words, stages=stages, network=network)


def _refusal(words: list[str], *, stages: set[str], network: bool) -> Iterator[str]:
    instruction, rest = words[0].upper(), words[1:]
    # A trigger runs in the images built on this one, as the instruction that it holds.
    while instruction == "ONBUILD" and rest:
        instruction, rest = rest[0].upper(), rest[1:]
    if instruction == "FROM":
        yield from _from(rest, stages=stages, network=network)
    elif instruction == "ADD":
        yield "ADD: the engine would fetch addresses on the host's network; COPY is expected"
    elif instruction == "COPY":
        yield from _copy(rest, stages=stages, network=network)


def _lines(text: str) -> list[str]:
    return [line.rstrip("\r") for line in text.split("\n")]


def _instructions(text: str) -> Iterator[list[str]]:
    """Each instruction as words, continuation lines joined, comments dropped, as Docker does."""
    pending = ""
    for line in _lines(text):
        if _COMMENT.match(line) or not line.strip():
            continue
        joined = pending + line.strip()
        if joined.endswith("\\"):
            pending = joined[:-1]
            continue
        pending = ""
        if words := joined.split():
            yield words
    if pending.split():
        yield pending.split()


def _from(rest: list[str], *, stages: set[str], network: bool) -> Iterator[str]:
    image = next((word for word in rest if not word.startswith("--")), "")
    named = image == "scratch" or image in _BASE_NAMES or image.lower() in stages
    if not named and not network:
        yield (
            f"FROM {image}: without build.network in the policy, scratch, ${{{BASE_ARGUMENT}}}"
            " or an earlier stage is expected"
        )


def _stage_name(rest: list[str]) -> list[str]:
    words = [word for word in rest if not word.startswith("--")]
    named = len(words) >= 3 and words[1].upper() == "AS"  # noqa: PLR2004 - image AS name
    return [words[2].lower()] if named else []


def _copy(rest: list[str], *, stages: set[str], network: bool) -> Iterator[str]:
    for word in rest:
        if not word.startswith("--"):
            return
        option, _, value = word.partition("=")
        if option.lower() == "--from" and value.lower() not in stages and not network:
            yield f"COPY {word}: an earlier stage is expected"
