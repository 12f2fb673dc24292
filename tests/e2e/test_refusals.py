"""What is wrong in files is refused with its place, and nothing is half started."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.instance import Instance, engine
from tests.support.workshop import PREFIX, Workshop

pytestmark = pytest.mark.docker

ONE = "e2e-one"
NO_PLUGIN = f"orchestrator/{PREFIX}no-plugin:1"
_SCHEMA = {
    "type": "object",
    "properties": {"size": {"type": "integer", "minimum": 1}, "word": {"type": "string"}},
    "additionalProperties": False,
}


@pytest.fixture
def clean(shared_instance: Instance) -> Iterator[Instance]:
    """The module's instance with no manifest and no policy; a good plugin waits to be forgotten."""
    for path in [*shared_instance.manifests.iterdir(), shared_instance.config]:
        path.unlink(missing_ok=True)
    shared_instance.variables.clear()
    yield shared_instance
    shared_instance.variables.clear()


def refused(instance: Instance, *, code: int, error: str, words: list[str]) -> str:
    """`up` fails like that, and neither a container nor a daemon is there afterwards."""
    # The innocent neighbour must not start either.
    done = instance.up(expect=code)

    assert f"[{error}]" in done.stderr
    assert [word for word in words if word not in done.stderr] == []
    assert "Traceback" not in done.stderr
    assert instance.containers() == {}
    assert instance.volumes() == []
    assert instance.processes() == []
    return done.stderr


def line_of(path: Path, text: str) -> str:
    """`file:line` of the first line that holds `text`."""
    lines = path.read_text().splitlines()
    number = next(n for n, line in enumerate(lines, start=1) if text in line)
    return f"{path}:{number}"


Case = tuple[dict[str, Any], dict[str, Any], dict[str, Any], int, str, list[str]]
"""What plugin.yaml says, what the manifest says, the policy, exit code, error, words."""

_SHARE_WISH = {"permissions": [{"file_system_read": {"shares": ["papers"]}}]}
CASES: dict[str, Case] = {
    "a permission that nobody asked for": (
        {},
        {"permissions": ["file_system_write"]},
        {},
        77,
        "permission_refused",
        [ONE, "spec.permissions.file_system_write", "[permission_not_asked]"],
    ),
    "a required permission that is not granted": (
        {"permissions": [{"file_system_write": {"required": True, "reason": "keeps an index"}}]},
        {},
        {},
        77,
        "permission_refused",
        [ONE, "found no file_system_write", "keeps an index", "[required_permission_missing]"],
    ),
    "a permission that policy leaves out": (
        {"permissions": ["file_system_write"]},
        {"permissions": ["file_system_write"]},
        {"permissions": ["file_system_read"]},
        77,
        "permission_refused",
        ["policy.permissions", "[permission_forbidden]"],
    ),
    "a limit above policy": (
        {},
        {"limits": {"max_memory_mb": 4096}},
        {},
        77,
        "permission_refused",
        [ONE, "spec.limits.max_memory_mb", "found 4096", "at most 2048", "[limit_above_policy]"],
    ),
    "a share that policy does not name": (
        _SHARE_WISH,
        _SHARE_WISH,
        {},
        77,
        "permission_refused",
        ["'papers'", "[share_unknown]"],
    ),
    "a share whose folder is missing": (
        _SHARE_WISH,
        _SHARE_WISH,
        {"shares": {"papers": {"path": "/no/such/folder"}}},
        65,
        "share_unusable",
        ["policy.shares.papers.path", "'/no/such/folder'", "expected an existing folder"],
    ),
    "a share of what no plugin may see": (
        _SHARE_WISH,
        _SHARE_WISH,
        {"shares": {"papers": {"path": "/etc"}}},
        65,
        "share_unusable",
        ["policy.shares.papers.path", "found /etc"],
    ),
    "a newer core than this one": (
        {"min_core_version": "99.0.0"},
        {},
        {},
        77,
        "permission_refused",
        ["plugin.yaml min_core_version", "99.0.0", "[core_too_old]"],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_policy_forbids_is_refused_by_name(
    clean: Instance, shared_workshop: Workshop, case: Case
) -> None:
    info, spec, policy, code, error, words = case
    shared_workshop.small(ONE, info=info, **spec)
    shared_workshop.small("e2e-innocent")
    if policy:
        clean.policy(**policy)

    refused(clean, code=code, error=error, words=words)


def test_a_parameter_that_nothing_can_hold_is_refused_by_name(
    clean: Instance, shared_workshop: Workshop
) -> None:
    permission = {"file_system_read": {"any_owner": True}}
    shared_workshop.small(ONE, info={"permissions": [permission]}, permissions=[permission])

    refused(
        clean,
        code=77,
        error="permission_not_held",
        words=[ONE, "grants file_system_read.any_owner,"],
    )


def unknown_permission(text: str) -> str:
    return text.replace("permissions: []", "permissions: [telepathy]")


def broken(text: str) -> str:
    return text + "  limits: [1, 2\n"


def twice(text: str) -> str:
    return text + "kind: Plugin\n"


def misspelt(text: str) -> str:
    return text.replace("permissions: []", "premissions: []")


@pytest.mark.parametrize(
    ("spoil", "at", "words"),
    [
        (unknown_permission, "telepathy", ["spec.permissions[0]", "'telepathy'"]),
        (broken, "", ["broken YAML"]),
        (twice, "", ["kind"]),
        (misspelt, "premissions", ["spec.premissions", "did you mean permissions?"]),
    ],
    ids=["unknown permission", "broken YAML", "a key twice", "unknown field"],
)
def test_a_manifest_that_cannot_be_read_is_refused_with_its_line(
    clean: Instance,
    shared_workshop: Workshop,
    spoil: Callable[[str], str],
    at: str,
    words: list[str],
) -> None:
    shared_workshop.small("e2e-innocent")
    shared_workshop.small(ONE, permissions=[])
    path = clean.manifests / f"{ONE}.yaml"
    path.write_text(spoil(path.read_text()))
    place = line_of(path, at) if at else f"{path}:"

    refused(clean, code=65, error="invalid_file", words=[place, *words])


def test_every_mistake_in_a_config_is_told_with_its_line(
    clean: Instance, shared_workshop: Workshop
) -> None:
    shared_workshop.small(ONE, info={"config_schema": _SCHEMA}, config={"size": 0, "word": 7})
    path = clean.manifests / f"{ONE}.yaml"

    refused(
        clean,
        code=65,
        error="invalid_file",
        words=[
            f"{line_of(path, 'size:')}: spec.config.size",
            f"{line_of(path, 'word:')}: spec.config.word",
        ],
    )


def test_two_manifests_of_one_plugin_are_refused(
    clean: Instance, shared_workshop: Workshop
) -> None:
    shared_workshop.small(ONE)
    text = (clean.manifests / f"{ONE}.yaml").read_text()
    (clean.manifests / "again.yaml").write_text(text)

    refused(clean, code=65, error="invalid_file", words=["again.yaml", f"{ONE}.yaml", ONE])


def test_mistakes_of_several_plugins_come_at_once(
    clean: Instance, shared_workshop: Workshop
) -> None:
    shared_workshop.small(ONE, limits={"max_memory_mb": 4096})
    shared_workshop.small("e2e-two", permissions=["file_system_write"])

    refused(
        clean,
        code=65,
        error="manifests_refused",
        words=[ONE, "[limit_above_policy]", "e2e-two", "[permission_not_asked]"],
    )


def test_a_folder_that_holds_no_plugin_is_refused(clean: Instance) -> None:
    clean.manifest(ONE, build=clean.folder / "no-such-folder")

    refused(clean, code=65, error="not_a_plugin", words=["no-such-folder", "plugin.yaml"])


@pytest.fixture
def no_plugin(images: None) -> str:
    """An image in which there is a file, but no plugin."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("hello"))
    repository, _, tag = NO_PLUGIN.partition(":")
    with engine() as client:
        client.import_image_from_data(archive.getvalue(), repository=repository, tag=tag)
    return NO_PLUGIN


def test_an_image_that_is_no_plugin_is_refused(clean: Instance, no_plugin: str) -> None:
    clean.manifest(ONE, source={"image": no_plugin})

    refused(
        clean,
        code=65,
        error="image_is_no_plugin",
        words=[no_plugin, "/plugin/plugin.yaml"],
    )


def test_an_image_that_does_not_exist_is_refused(clean: Instance) -> None:
    # Nothing listens on port 1: no registry is asked, and none could be slow.
    clean.manifest(ONE, source={"image": "localhost:1/none:1"})

    refused(
        clean,
        code=66,
        error="image_not_found",
        words=[f"{ONE}.yaml: spec.source.image", "'localhost:1/none:1'"],
    )


def test_without_an_engine_nothing_starts_and_the_address_is_named(
    clean: Instance, shared_workshop: Workshop
) -> None:
    shared_workshop.small(ONE)
    clean.variables["DOCKER_HOST"] = "unix:///nonexistent/docker.sock"

    refused(clean, code=69, error="engine_unavailable", words=["/nonexistent/docker.sock"])
    for command in (["plan", str(clean.manifests)], ["down"], ["doctor"]):
        done = clean.run(*command, expect=69)

        assert "/nonexistent/docker.sock" in done.stderr, command


def test_what_the_hosts_memory_cannot_hold_is_refused_with_the_sum_by_plan_too(
    clean: Instance, shared_workshop: Workshop
) -> None:
    most = 1_048_576
    clean.policy(ceilings={"max_memory_mb": most})
    shared_workshop.small(ONE)
    shared_workshop.small("e2e-two", limits={"max_memory_mb": most})
    planned = clean.run("plan", str(clean.manifests), expect=74)
    told = refused(clean, code=74, error="not_admitted", words=["1,048,576 MiB"])

    assert "[not_admitted]" in planned.stderr
    assert planned.stderr.splitlines()[-1] == told.splitlines()[-1]


def test_a_refused_change_leaves_what_runs_as_it_is(instance: Instance, workshop: Workshop) -> None:
    workshop.small(ONE)
    workshop.small("e2e-two")
    instance.up()
    before = (instance.containers(), instance.processes())
    workshop.small(ONE, limits={"max_memory_mb": 4096})
    workshop.small("e2e-two", limits={"max_memory_mb": 16})
    workshop.small("e2e-three")
    done = instance.up(expect=77)

    assert "[limit_above_policy]" in done.stderr
    assert (instance.containers(), instance.processes()) == before
    assert instance.call(ONE, {"still": 1}) == {"still": 1}
