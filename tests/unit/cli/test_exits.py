import pytest

from orchestrator.cli.exits import BY_KIND, CHANGES, INTERRUPTED, OK, USAGE
from orchestrator.errors import Kind
from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import FakeDaemon


def test_every_kind_of_error_has_an_exit_code_of_its_own() -> None:
    codes = [*BY_KIND.values(), OK, CHANGES, USAGE, INTERRUPTED]

    assert set(BY_KIND) == set(Kind)
    assert len(codes) == len(set(codes))


def test_no_exit_code_is_one_that_shells_or_python_use_themselves() -> None:
    assert {1, 126, 127, 128, 137, 143} & {*BY_KIND.values(), CHANGES, USAGE} == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["ps", "--no-such-option"],
        ["ps", "surplus"],
        ["call"],
        ["logs", "notes", "--tail", "0"],
        ["logs", "notes", "--since", "yesterday"],
        ["call", "notes", "--timeout", "0"],
        ["schema", "no-such-schema"],
    ],
    ids=" ".join,
)
def test_a_command_used_wrongly_ends_with_64(shell: Shell, arguments: list[str]) -> None:
    assert shell(*arguments).code == 64


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["ps", "--instance", "Not A Name"], 65),
        (["up", "nothing-here.yaml"], 65),
        (["validate", "nothing-here.yaml"], 65),
        (["call", "notes", "no json"], 65),
        (["up", "--config", "nothing-here.yaml"], 65),
        (["ps"], 69),
        (["status", "notes"], 69),
        (["logs", "notes"], 69),
        (["call", "notes"], 69),
        (["--version"], 0),
        (["ps", "--help"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_an_error_ends_with_the_code_of_its_kind(
    shell: Shell, arguments: list[str], code: int
) -> None:
    assert shell(*arguments).code == code


@pytest.mark.parametrize("kind", Kind)
def test_a_daemons_problem_ends_with_the_code_of_its_kind(
    shell: Shell, daemon: FakeDaemon, kind: Kind
) -> None:
    problem = {"kind": kind, "code": "some_code", "detail": "some words"}
    daemon.answer("/v1/plugins", problem, status=500)

    shown = shell("ps")
    assert (shown.code, shown.err) == (BY_KIND[kind], "error [some_code] some words\n")


def test_a_problem_of_no_known_kind_is_internal(shell: Shell, daemon: FakeDaemon) -> None:
    daemon.answer("/v1/plugins", ["no problem document"], status=500)

    shown = shell("ps")
    assert (shown.code, shown.err) == (70, "error [daemon_problem] status 500\n")


def test_a_refused_file_starts_no_daemon_and_leaves_nothing(shell: Shell) -> None:
    shown = shell("up", "nothing-here.yaml")

    assert shown.err.startswith("error [invalid_file] ")
    assert shell("ps").code == 69
