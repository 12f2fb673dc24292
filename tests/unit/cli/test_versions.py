"""A command and a daemon of different versions."""

from orchestrator.version import CORE_VERSION
from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import PLUGIN_ROW, FakeDaemon


def test_a_daemon_of_another_version_is_named_with_the_way_out(
    shell: Shell, daemon: FakeDaemon
) -> None:
    daemon.version = "9.8.7"
    daemon.answer("/v1/plugins", [PLUGIN_ROW])
    shown = shell("ps", "--json")

    assert shown.code == 0
    assert shown.out.startswith("[")
    assert shown.err == (
        f"note: the daemon is version 9.8.7 and this command {CORE_VERSION}; "
        f"`orchestrator daemon restart` brings it to {CORE_VERSION}, and plugins run on\n"
    )


def test_a_refusal_of_a_daemon_of_another_version_is_explained_as_well(
    shell: Shell, daemon: FakeDaemon
) -> None:
    daemon.version = "9.8.7\x1b[2J"
    shown = shell("permissions", "list")

    assert shown.code != 0
    assert "the daemon is version 9.8.7" in shown.err
    assert "\x1b" not in shown.err


def test_a_daemon_of_the_same_version_is_not_worth_a_word(shell: Shell, daemon: FakeDaemon) -> None:
    daemon.answer("/v1/plugins", [])

    assert shell("ps").err == ""
