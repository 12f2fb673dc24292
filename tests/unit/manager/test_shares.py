"""Shares: names become real folders, and what tells of the host never does."""

import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import Kind
from orchestrator.manager.shares import (
    ShareUnusable,
    _plugins_may_rename,
    real_shares,
)


def real(make: Any, path: object, home: Path) -> str:
    policy = make.policy(shares={"docs": {"path": str(path)}})
    return str(real_shares(policy, ["docs"], home=home)["docs"])


def refusal(make: Any, path: object, home: Path) -> str:
    with pytest.raises(ShareUnusable) as caught:
        real(make, path, home)
    assert (caught.value.kind, caught.value.code) == (Kind.INVALID, "share_unusable")
    return str(caught.value)


def test_a_folder_is_shared_as_what_it_really_is(make: Any, tmp_path: Path, home: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "docs")

    assert real(make, tmp_path / "docs", home) == str(tmp_path / "docs")
    assert real(make, tmp_path / "link", home) == str(tmp_path / "docs")
    assert real(make, tmp_path / "link" / ".." / "docs", home) == str(tmp_path / "docs")


def test_only_named_shares_are_looked_at_and_each_once(
    make: Any, tmp_path: Path, home: Path
) -> None:
    (tmp_path / "a").mkdir()
    policy = make.policy(
        shares={"a": {"path": str(tmp_path / "a")}, "b": {"path": str(tmp_path / "missing")}}
    )

    assert real_shares(policy, ["a", "a"], home=home) == {"a": str(tmp_path / "a")}
    assert real_shares(policy, [], home=home) == {}


def test_a_missing_folder_is_refused(make: Any, tmp_path: Path, home: Path) -> None:
    path = tmp_path / "missing"

    assert refusal(make, path, home) == (
        f"policy.shares.docs.path: found {str(path)!r} (No such file or directory), "
        "expected an existing folder"
    )


def test_a_file_is_refused(make: Any, tmp_path: Path, home: Path) -> None:
    path = tmp_path / "file"
    path.write_text("words", encoding="utf-8")

    assert refusal(make, path, home) == (
        f"policy.shares.docs.path: found {str(path)!r}, which is no folder, expected a folder"
    )


def test_a_circle_of_links_is_refused(make: Any, tmp_path: Path, home: Path) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")

    assert "expected an existing folder" in refusal(make, tmp_path / "one", home)


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/home", "/root", "/usr", "/var", "/dev", "/proc", "/run", "/sys"]
)
def test_folders_that_tell_of_the_host_are_refused(make: Any, path: str, home: Path) -> None:
    assert refusal(make, path, home).startswith(f"policy.shares.docs.path: found {path},")


@pytest.mark.parametrize("path", ["/proc/self/fd", "/dev/shm", "/sys/kernel", "/sys/class/net"])
def test_nothing_inside_a_forbidden_tree_is_shared(make: Any, path: str, home: Path) -> None:
    assert "expected a folder outside /" in refusal(make, path, home)


@pytest.mark.parametrize("target", ["/proc", "/dev/shm", "/", "/etc", "/var/run"])
def test_a_link_does_not_hide_what_it_leads_to(
    make: Any, tmp_path: Path, home: Path, target: str
) -> None:
    (tmp_path / "innocent").symlink_to(target)

    assert "policy.shares.docs.path: found /" in refusal(make, tmp_path / "innocent", home)


def test_a_link_on_the_way_does_not_hide_it_either(make: Any, tmp_path: Path, home: Path) -> None:
    (tmp_path / "innocent").symlink_to("/dev")

    assert refusal(make, tmp_path / "innocent" / "shm", home) == (
        "policy.shares.docs.path: found /dev/shm, expected a folder outside /dev"
    )


def test_the_home_of_the_orchestrator_is_refused_with_all_in_it_and_above_it(
    make: Any, home: Path
) -> None:
    (home / "state").mkdir()

    assert "holds no" in refusal(make, home, home)
    assert f"outside {home}" in refusal(make, home / "state", home)
    assert f"holds no {home}" in refusal(make, home.parent, home)


def test_a_home_behind_a_link_is_refused_all_the_same(
    make: Any, tmp_path: Path, home: Path
) -> None:
    link = tmp_path / "elsewhere"
    link.symlink_to(home)

    (home / "state").mkdir()

    assert "holds no" in refusal(make, home, link)
    assert f"outside {home}" in refusal(make, home / "state", link)


def test_a_folder_whose_name_only_begins_like_a_forbidden_one_is_shared(
    make: Any, home: Path
) -> None:
    beside = home.parent / f"{home.name}-two"
    beside.mkdir()

    assert real(make, beside, home) == str(beside)


@pytest.mark.parametrize("name", [".ssh", ".aws", ".kube/cache", ".docker", ".gnupg"])
def test_folders_that_hold_peoples_keys_are_refused_wherever_they_lie(
    make: Any, tmp_path: Path, home: Path, name: str
) -> None:
    (tmp_path / name).mkdir(parents=True)

    assert f"expected a folder outside {Path(name).parts[0]}" in refusal(
        make, tmp_path / name, home
    )


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o703])
def test_a_folder_that_everybody_may_rename_is_refused(
    make: Any, tmp_path: Path, home: Path, mode: int
) -> None:
    above = tmp_path / "open"
    (above / "docs").mkdir(parents=True)
    above.chmod(mode)

    assert refusal(make, above / "docs", home) == (
        f"policy.shares.docs.path: found {above}/docs, where plugins may rename {above}/docs, "
        f"expected {above} to be writable by neither everybody nor user 65532"
    )


def test_a_folder_far_below_one_that_everybody_may_rename_is_refused(
    make: Any, tmp_path: Path, home: Path
) -> None:
    above = tmp_path / "open"
    (above / "a" / "b").mkdir(parents=True)
    above.chmod(0o777)

    assert f"where plugins may rename {above}/a" in refusal(make, above / "a" / "b", home)


@pytest.mark.parametrize("mode", [0o1777, 0o755, 0o775, 0o700])
def test_what_the_share_itself_lets_others_do_and_a_sticky_folder_above_are_fine(
    make: Any, tmp_path: Path, home: Path, mode: int
) -> None:
    above = tmp_path / "above"
    (above / "docs").mkdir(parents=True)
    (above / "docs").chmod(0o777)
    above.chmod(mode)

    assert real(make, above / "docs", home) == str(above / "docs")


def _stat(mode: int, uid: int = 0, gid: int = 0) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("below", "above", "may"),
    [
        (_stat(0o755), _stat(0o755), False),
        (_stat(0o755), _stat(0o755, uid=65_532), True),
        (_stat(0o755), _stat(0o775, gid=65_532), True),
        (_stat(0o755), _stat(0o755, gid=65_532), False),
        (_stat(0o755), _stat(0o775, gid=100), False),
        (_stat(0o755), _stat(0o1777), False),
        (_stat(0o755, uid=65_532), _stat(0o1777), True),
        (_stat(0o755, uid=65_532), _stat(0o755), False),
        (_stat(0o755), _stat(0o1755, uid=65_532), True),
    ],
)
def test_who_may_rename_follows_owner_group_and_sticky_bit(
    below: os.stat_result, above: os.stat_result, *, may: bool
) -> None:
    assert _plugins_may_rename(below, above) is may
