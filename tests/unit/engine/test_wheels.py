"""pip itself is played by a small script; docker-free, network-free."""

import asyncio
import sys
from pathlib import Path

import pytest

from orchestrator.engine.wheels import (
    DependenciesFailed,
    InvalidLock,
    install_wheels,
    parse_lock,
    platform_tags,
)

HASH = "--hash=sha256:" + "0" * 64
OTHER = "--hash=sha256:" + "f" * 64
FAKE_PIP = """
import pathlib, sys
options = dict(a[2:].partition("=")[::2] for a in sys.argv if a.startswith("--"))
with open(r"{log}", "a") as log:
    print(" ".join(sys.argv[1:]), file=log)
target = pathlib.Path(options["target"])
(target / "lib.py").write_text(pathlib.Path(options["requirement"]).read_text())
print("\\x1b[31mCollecting lib")
{more}
"""


def _pip(tmp_path: Path, more: str = "") -> tuple[tuple[str, str], Path]:
    script, log = tmp_path / "pip.py", tmp_path / "calls"
    script.write_text(FAKE_PIP.format(log=log, more=more))
    return (sys.executable, str(script)), log


def test_a_lock_as_uv_writes_it_is_understood() -> None:
    text = f"""# made by uv
b-lib==1.0 \\
    {HASH} \\
    {OTHER}
    # via a
a_lib[x,y]==2.0rc1+local ; python_version < '3.12' and sys_platform == "linux" {HASH}  # why
"""

    pins = parse_lock(text)

    assert pins == (
        f"a_lib[x,y]==2.0rc1+local ; python_version < '3.12' and sys_platform == \"linux\" {HASH}",
        f"b-lib==1.0 {HASH} {OTHER}",
    )


@pytest.mark.parametrize(
    "line",
    [
        "--no-binary :all:",
        "--index-url http://evil/simple",
        "--extra-index-url=http://evil/simple",
        "--find-links /etc",
        "--trusted-host evil",
        "-r /etc/passwd",
        "-e .",
        "./local.whl",
        "/abs/local.whl",
        f"lib @ http://evil/lib.whl {HASH}",
        f"lib>=1.0 {HASH}",
        f"lib==1.* {HASH}",
        "lib==1.0",
        f"lib==1.0 --global-option=x {HASH}",
        f"lib==1.0 {HASH} --config-settings=x=y",
        f"lib==1.0 ; python_version > '3' --no-binary=lib {HASH}",
        "lib==1.0 --hash=md5:00",
        f"lib==1.0 {HASH}0",
        "${HOME}",
    ],
)
def test_anything_but_a_pin_with_its_hash_is_refused(line: str) -> None:
    with pytest.raises(InvalidLock, match=r"requirements\.lock:2: found"):
        parse_lock(f"good==1 {HASH}\n{line}\n")


def test_a_continued_line_is_named_by_where_it_starts() -> None:
    with pytest.raises(InvalidLock, match=r"requirements\.lock:1: found"):
        parse_lock(f"lib==1.0 \\\n  --no-binary=:all: \\\n  {HASH}\n")


def test_a_comment_does_not_hide_what_pip_would_read() -> None:
    # pip strips a comment only after white space, as we do.
    with pytest.raises(InvalidLock):
        parse_lock(f"lib==1.0#x {HASH}\n")


def test_wheels_for_old_and_new_glibc_are_taken() -> None:
    tags = platform_tags("aarch64")

    assert {"manylinux_2_17_aarch64", "manylinux_2_28_aarch64", "manylinux2014_aarch64"} <= set(
        tags
    )
    assert "manylinux_2_37_aarch64" not in tags


async def test_pip_is_told_to_run_no_strangers_code(tmp_path: Path) -> None:
    pip, log = _pip(tmp_path)
    said: list[str] = []

    folder = await install_wheels(
        (f"lib==1 {HASH}",), python="3.11", cache=tmp_path / "c", progress=said.append, pip=pip
    )

    call = log.read_text()
    for option in ("--only-binary=:all:", "--require-hashes", "--no-deps", "--python-version=3.11"):
        assert option in call
    assert (folder / "lib.py").read_text() == f"lib==1 {HASH}\n"
    assert said == ["Collecting lib"]


async def test_the_same_lock_is_installed_once(tmp_path: Path) -> None:
    pip, log = _pip(tmp_path)
    for python in ("3.11", "3.11", "3.12"):
        await install_wheels(
            (f"lib==1 {HASH}",), python=python, cache=tmp_path, progress=print, pip=pip
        )

    assert len(log.read_text().splitlines()) == 2


async def test_two_at_a_time_do_not_spoil_each_other(tmp_path: Path) -> None:
    pip, _ = _pip(tmp_path, "import time; time.sleep(0.2)")
    jobs = [
        install_wheels((f"lib==1 {HASH}",), python="3", cache=tmp_path, progress=print, pip=pip)
        for _ in range(3)
    ]

    folders = await asyncio.gather(*jobs)

    assert len(set(folders)) == 1
    assert [path.name for path in (tmp_path / "wheels").iterdir()] == [folders[0].name]


async def test_a_failure_carries_what_pip_said_and_leaves_nothing(tmp_path: Path) -> None:
    pip, _ = _pip(tmp_path, "sys.exit('no matching distribution')")

    with pytest.raises(DependenciesFailed, match="no matching distribution"):
        await install_wheels((f"x==1 {HASH}",), python="3", cache=tmp_path, progress=print, pip=pip)
    assert list((tmp_path / "wheels").iterdir()) == []


async def test_a_pip_that_hangs_is_stopped(tmp_path: Path) -> None:
    pip, _ = _pip(tmp_path, "import time; time.sleep(60)")

    with pytest.raises(DependenciesFailed, match=r"stopped after 0\.5 s"):
        await install_wheels(
            (f"x==1 {HASH}",),
            python="3",
            cache=tmp_path,
            progress=print,
            pip=pip,
            timeout_seconds=0.5,
        )


async def test_a_missing_pip_is_named(tmp_path: Path) -> None:
    with pytest.raises(DependenciesFailed, match=r"/nowhere/pip: .*pip is expected"):
        await install_wheels(
            (f"x==1 {HASH}",), python="3", cache=tmp_path, progress=print, pip=("/nowhere/pip",)
        )
