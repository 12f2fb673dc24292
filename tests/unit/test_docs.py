"""What the documentation shows: its links lead somewhere, its snippets are right and run."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from orchestrator.cli.main import COMMANDS, cli
from orchestrator.daemon.backends import resolver_of
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.engine.memory_stores import MemoryImages
from orchestrator.manager.resolve import ManifestsRefused, Resolver, check_dependencies
from orchestrator.model.info import PluginInfo
from orchestrator.model.load import load_instance_config, load_manifests, load_plugin_info
from orchestrator.model.manifest import PluginManifest
from orchestrator.model.policy import InstanceConfig, SecurityPolicy
from tests.unit.pages import ALL, OURS, ROOT, Block, anchors, blocks, links, name_of, page, tracked

SDK = ROOT / "plugin_images" / "sdk"
COMMAND_LINES = sorted(
    {
        line
        for path in OURS
        for block in blocks(path)
        if block.language == "console"
        for line in block.text.splitlines()
        if line.startswith("$ orchestrator ")
    }
)


def _of(language: str) -> list[Any]:
    """The code blocks of a language, each by its page and number."""
    return [
        pytest.param(block, id=f"{name_of(path)}-{number}")
        for path in ALL
        for number, block in enumerate(blocks(path))
        if block.language == language
    ]


# -- links and paths --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_a_link_leads_to_a_file_and_a_heading_that_exist(path: Path) -> None:
    dead = []
    for link in links(path):
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not link.startswith("https://") and not (
            target.exists() and (not anchor or anchor in anchors(target))
        ):
            dead.append(link)

    assert dead == []


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_a_file_of_this_repository_that_is_named_exists(path: Path) -> None:
    top = {path.relative_to(ROOT).parts[0] for path in tracked("*/*")}
    folders = "|".join(sorted(top - {"manifests"}))  # the reader's own are called so too
    named = re.findall(rf"`((?:{folders})/[\w./-]+(?:/|\.\w+))`", path.read_text())

    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_no_page_tells_of_the_machine_it_was_written_on(path: Path) -> None:
    assert re.findall(r"/work\b|/root/|/tmp/\w+|/home/\w+", path.read_text()) == []


def test_every_page_of_docs_is_in_the_index() -> None:
    index = set(links(ROOT / "docs" / "README.md"))

    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= index


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_a_make_target_that_is_named_exists(path: Path) -> None:
    made = set(re.findall(r"^([a-z-]+):", page("Makefile"), re.MULTILINE))
    named = re.findall(r"(?:`|^\$ )make ([a-z-]+)", path.read_text(), re.MULTILINE)

    assert set(named) <= made


def test_every_make_target_with_a_help_text_is_documented() -> None:
    helped = re.findall(r"^([a-z-]+):.*## ", page("Makefile"), re.MULTILINE)

    assert [name for name in helped if f"`make {name}`" not in page("docs/commands.md")] == []


# -- snippets ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_every_code_block_names_its_language(path: Path) -> None:
    languages = {block.language for block in blocks(path)}

    assert languages <= {"console", "json", "mermaid", "python", "text", "yaml"}


@pytest.mark.parametrize("block", _of("json"))
def test_a_json_snippet_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", _of("python"))
def test_a_python_snippet_compiles(block: Block) -> None:
    compile(block.text, "snippet", "exec")


@pytest.mark.parametrize("block", _of("yaml"))
def test_a_yaml_snippet_is_one_of_our_files(block: Block) -> None:
    data = yaml.safe_load(block.text)

    model = next(
        model
        for key, model in (
            ("apiVersion", PluginManifest),
            ("policy", InstanceConfig),
            ("monitoring", InstanceConfig),
            ("plugin_id", PluginInfo),
        )
        if key in data
    )
    model.model_validate_json(json.dumps(data))


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_command_line_that_is_shown_is_understood(line: str) -> None:
    _, name, *words = shlex.split(line.removeprefix("$ "))
    assert name in COMMANDS
    command = cli.get_command(click.Context(cli), name)
    assert command is not None

    with command.make_context(name, words):
        pass


# -- the plugin of the README -----------------------------------------------------------------


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    """The README's three files, where it says they are."""
    for block in blocks(ROOT / "README.md"):
        if named := re.match(r"`(hello/[\w./-]+)`", block.before):
            path = tmp_path / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
    return tmp_path / "hello"


def test_the_readmes_plugin_is_a_plugin_with_a_manifest(hello: Path) -> None:
    info = load_plugin_info(hello / "word-count")
    [manifest] = load_manifests([hello])

    assert manifest.manifest.metadata.name == info.plugin_id == "word-count"
    assert manifest.build_folder() == hello / "word-count"
    assert len((hello / "word-count" / "word_count.py").read_text().splitlines()) <= 15


def test_the_readmes_test_of_its_plugin_passes(hello: Path) -> None:
    [test] = [b.text for b in blocks(ROOT / "README.md") if "PluginTester" in b.text]

    done = _python(test, hello / "word-count")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_readmes_test_of_its_plugin_can_fail(hello: Path) -> None:
    [test] = [b.text for b in blocks(ROOT / "README.md") if "PluginTester" in b.text]
    code = hello / "word-count" / "word_count.py"
    code.write_text(code.read_text().replace("len(words)", "len(words) + 1"))

    done = _python(test, hello / "word-count")
    assert "AssertionError" in done.stderr


def _python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{SDK}:{folder}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# -- the files that ship ----------------------------------------------------------------------


async def test_the_shipped_manifests_plan_with_the_shipped_policy(tmp_path: Path) -> None:
    policy = load_instance_config(ROOT / "orchestrator.yaml").policy
    manifests = load_manifests([ROOT / "manifests"])

    deployments = await _resolver(tmp_path).resolve(manifests, policy)
    [level] = check_dependencies(deployments)
    assert sorted(level) == sorted(loaded.manifest.metadata.name for loaded in manifests)


async def test_without_the_shipped_policy_the_shares_of_the_manifests_are_unknown(
    tmp_path: Path,
) -> None:
    manifests = load_manifests([ROOT / "manifests"])

    with pytest.raises(ManifestsRefused, match="share_unknown"):
        await _resolver(tmp_path).resolve(manifests, SecurityPolicy())


def _resolver(home: Path) -> Resolver:
    return resolver_of(DaemonSettings(home=home), MemoryImages())


def test_every_shipped_manifest_has_a_row_in_its_folders_readme() -> None:
    names = [path.name for path in (ROOT / "manifests").glob("*.yaml")]

    assert [name for name in names if f"| `{name}` |" not in page("manifests/README.md")] == []


def test_news_fragments_are_of_a_known_kind_and_not_empty() -> None:
    for path in (ROOT / "changes").glob("*.md"):
        assert re.fullmatch(
            r"(\d+|\+[\w-]+)\.(feature|fix|removal|security)(\.\d+)?\.md", path.name
        )
        assert path.read_text().strip().endswith(".")


def test_the_changelog_has_the_place_where_news_go() -> None:
    assert "<!-- towncrier release notes start -->\n" in page("CHANGELOG.md")
