from pathlib import Path

import pytest

from orchestrator.cli.context import config_file, manifest_paths, settings_of
from orchestrator.daemon.settings import InvalidSetting, settings_from

USER = Path("/home/user")


def _home(*, is_root: bool = False, **environment: str) -> Path:
    return settings_from(environment, instance=None, user_home=USER, is_root=is_root).home


def test_an_option_goes_before_a_variable_and_both_before_the_default() -> None:
    def chosen(option: str | None, **environment: str) -> str:
        return settings_from(environment, instance=option, user_home=USER, is_root=False).instance

    assert chosen(None) == "default"
    assert chosen(None, ORCHESTRATOR_INSTANCE="mine") == "mine"
    assert chosen("theirs", ORCHESTRATOR_INSTANCE="mine") == "theirs"
    assert chosen(None, ORCHESTRATOR_INSTANCE="") == "default"


def test_state_lies_where_the_user_may_write() -> None:
    assert _home(is_root=True) == Path("/var/lib/orchestrator")
    assert _home() == USER / ".local/state/orchestrator"
    assert _home(XDG_STATE_HOME="/state") == Path("/state/orchestrator")


def test_the_home_that_is_named_goes_before_all_others() -> None:
    for is_root in (False, True):
        home = _home(is_root=is_root, ORCHESTRATOR_HOME="/elsewhere", XDG_STATE_HOME="/state")

        assert home == Path("/elsewhere")


def test_a_relative_home_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    assert _home(ORCHESTRATOR_HOME="state") == tmp_path / "state"


@pytest.mark.parametrize("name", ["../up", "a/b", "A", "1a", "a b", "-a", "a" * 64, "a\n"])
def test_an_instance_whose_name_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(InvalidSetting, match="ORCHESTRATOR_INSTANCE: found"):
        settings_from({}, instance=name, user_home=USER, is_root=False)


def test_instances_of_one_name_in_two_homes_are_two_owners() -> None:
    here, there = (
        settings_from({"ORCHESTRATOR_HOME": home}, instance=None, user_home=USER, is_root=False)
        for home in ("/a", "/b")
    )

    assert here.owner != there.owner
    assert here.secrets_root != there.secrets_root
    assert here.volume_links != there.volume_links


def test_the_engines_address_is_dockers_own_unless_named() -> None:
    def address(**environment: str) -> str | None:
        return settings_from(environment, instance=None, user_home=USER, is_root=False).engine

    assert address() is address(DOCKER_HOST="") is None
    assert address(DOCKER_HOST="tcp://engine:2375") == "tcp://engine:2375"


def test_commands_read_the_real_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_INSTANCE", "from-the-shell")

    assert settings_of(None).instance == "from-the-shell"
    assert settings_of("option").instance == "option"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ORCHESTRATOR_CONFIG", raising=False)
    return tmp_path


def test_the_policy_is_the_option_else_the_variable_else_the_folders(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert config_file(None) is None
    for name in ("orchestrator.yaml", "variable.yaml", "option.yaml"):
        (folder / name).touch()
    assert config_file(None) == folder / "orchestrator.yaml"
    monkeypatch.setenv("ORCHESTRATOR_CONFIG", "variable.yaml")
    assert config_file(None) == folder / "variable.yaml"

    assert config_file("option.yaml") == folder / "option.yaml"


def test_a_policy_that_is_named_and_missing_is_no_reason_to_take_the_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidSetting, match="missing"):
        config_file("missing.yaml")
    monkeypatch.setenv("ORCHESTRATOR_CONFIG", "missing-too.yaml")

    with pytest.raises(InvalidSetting, match="missing-too"):
        config_file(None)


def test_manifests_are_the_paths_that_are_named_or_the_folder_manifests(folder: Path) -> None:
    assert manifest_paths(()) == [folder / "manifests"]
    assert manifest_paths(("a.yaml", "b/../c", "/d/")) == [
        folder / "a.yaml",
        folder / "c",
        Path("/d"),
    ]


def test_a_link_among_the_paths_stays_a_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "target")

    assert manifest_paths(("link",)) == [folder / "link"]
