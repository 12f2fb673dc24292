import io
import tarfile
from pathlib import Path

import pytest

from orchestrator.engine.build_context import write_context
from orchestrator.engine.folder import InvalidFolder


def _tar(context: dict[str, Path]) -> bytes:
    out = io.BytesIO()
    write_context(context, out)
    return out.getvalue()


def _members(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {member.name: member for member in tar}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "lib" / "tests").mkdir(parents=True)
    (tmp_path / "lib" / "tests" / "a.py").write_text("A\n")
    (tmp_path / "run").write_text("#!/bin/sh\n")
    (tmp_path / "run").chmod(0o4711)
    return tmp_path


def test_files_and_folders_land_where_they_are_named(files: Path) -> None:
    members = _members(_tar({"deep/er/run": files / "run", "packages": files / "lib"}))

    assert list(members) == [
        "deep",
        "deep/er",
        "deep/er/run",
        "packages",
        "packages/tests",
        "packages/tests/a.py",
    ]


def test_owner_date_and_special_bits_stay_behind(files: Path) -> None:
    member = _members(_tar({"run": files / "run"}))["run"]

    assert (member.mode, member.uid, member.gid, member.uname) == (0o755, 0, 0, "")


def test_the_same_files_give_the_same_bytes(files: Path) -> None:
    first = _tar({"b": files / "run", "a": files / "lib"})
    (files / "run").write_text("#!/bin/sh\n")

    assert _tar({"a": files / "lib", "b": files / "run"}) == first


def test_no_link_gets_in_even_where_nobody_checked(files: Path) -> None:
    (files / "lib" / "shadow").symlink_to("/etc/shadow")
    (files / "linked").symlink_to(files / "lib")

    with pytest.raises(InvalidFolder, match="shadow"):
        _tar({"packages": files / "lib"})
    with pytest.raises(InvalidFolder, match="linked"):
        _tar({"x": files / "linked"})


def test_an_empty_folder_is_there(tmp_path: Path) -> None:
    assert _members(_tar({"site-packages": tmp_path}))["site-packages"].isdir()
