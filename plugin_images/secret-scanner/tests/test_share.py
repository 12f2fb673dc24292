"""What a walk over a share reads, and that nothing leads it out of the share."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from secret_scanner_share import (
    MAX_DEPTH,
    PathMissing,
    PathRefused,
    ShareWalk,
    decode,
    relative_parts,
)


@pytest.fixture
def share(tmp_path: Path) -> Path:
    root = tmp_path / "share"
    (root / "b" / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("alpha")
    (root / "b" / "c.txt").write_text("charlie")
    (root / "b" / "deep" / "d.txt").write_text("delta")
    (tmp_path / "outside.txt").write_text("outside")
    return root


def walk(root: Path, *, max_file_bytes: int = 1_000) -> ShareWalk:
    return ShareWalk(root=root, max_file_bytes=max_file_bytes)


def paths(shares_walk: ShareWalk, path: str = "") -> list[str]:
    return [file.path for file in shares_walk.files(path)]


def test_every_text_file_is_read_in_the_order_of_names(share: Path) -> None:
    found = [(file.path, file.text, file.size_bytes) for file in walk(share).files()]

    assert found == [
        ("a.txt", "alpha", 5),
        ("b/c.txt", "charlie", 7),
        ("b/deep/d.txt", "delta", 5),
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("b", ["b/c.txt", "b/deep/d.txt"]),
        ("b/deep/", ["b/deep/d.txt"]),
        ("b/c.txt", ["b/c.txt"]),
        (".", ["a.txt", "b/c.txt", "b/deep/d.txt"]),
        ("./b/deep", ["b/deep/d.txt"]),
    ],
)
def test_a_path_narrows_the_walk(share: Path, path: str, expected: list[str]) -> None:
    assert paths(walk(share), path) == expected


@pytest.mark.parametrize("path", ["..", "../outside.txt", "b/../../outside.txt", "/etc", "a\0b"])
def test_a_path_that_could_leave_the_share_is_refused(share: Path, path: str) -> None:
    with pytest.raises(PathRefused, match="inside the share"):
        paths(walk(share), path)


@given(st.text(max_size=60))
def test_no_accepted_path_holds_a_step_upwards(path: str) -> None:
    try:
        parts = relative_parts(path)
    except PathRefused:
        return

    assert ".." not in parts
    assert "/" not in parts


def test_links_are_skipped_and_counted(share: Path, tmp_path: Path) -> None:
    (share / "file-link.txt").symlink_to(tmp_path / "outside.txt")
    (share / "inner-link.txt").symlink_to(share / "a.txt")
    (share / "folder-link").symlink_to(tmp_path)
    shares_walk = walk(share)
    found = paths(shares_walk)

    assert found == ["a.txt", "b/c.txt", "b/deep/d.txt"]
    assert shares_walk.skipped == {"link_or_special": 3}


@pytest.mark.parametrize("path", ["out", "out/outside.txt", "link.txt"])
def test_a_path_over_a_link_is_refused(share: Path, tmp_path: Path, path: str) -> None:
    (share / "out").symlink_to(tmp_path)
    (share / "link.txt").symlink_to(tmp_path / "outside.txt")

    with pytest.raises(PathRefused):
        paths(walk(share), path)


def test_a_file_that_becomes_a_link_after_it_was_listed_is_not_followed(
    share: Path, tmp_path: Path
) -> None:
    (share / "z.txt").write_text("zulu")
    shares_walk = walk(share)
    files = shares_walk.files()
    first = next(files)
    (share / "z.txt").unlink()
    (share / "z.txt").symlink_to(tmp_path / "outside.txt")
    rest = [file.path for file in files]

    assert first.path == "a.txt"
    assert rest == ["b/c.txt", "b/deep/d.txt"]
    assert shares_walk.skipped == {"unreadable": 1}


def test_a_folder_that_becomes_a_link_after_it_was_listed_is_not_followed(
    share: Path, tmp_path: Path
) -> None:
    shares_walk = walk(share)
    files = shares_walk.files("b")
    first = next(files)
    (share / "b" / "deep" / "d.txt").unlink()
    (share / "b" / "deep").rmdir()
    (share / "b" / "deep").symlink_to(tmp_path)
    rest = [file.path for file in files]

    assert first.path == "b/c.txt"
    assert rest == []
    assert shares_walk.skipped == {"unreadable": 1}


def test_a_file_that_becomes_a_pipe_after_it_was_listed_is_not_waited_for(share: Path) -> None:
    (share / "z.txt").write_text("zulu")
    shares_walk = walk(share)
    files = shares_walk.files()
    next(files)
    (share / "z.txt").unlink()
    os.mkfifo(share / "z.txt")
    rest = [file.path for file in files]

    assert rest == ["b/c.txt", "b/deep/d.txt"]
    assert shares_walk.skipped == {"link_or_special": 1}


def test_a_pipe_does_not_hold_the_walk_up(share: Path) -> None:
    os.mkfifo(share / "pipe.txt")
    shares_walk = walk(share)

    assert paths(shares_walk) == ["a.txt", "b/c.txt", "b/deep/d.txt"]
    assert shares_walk.skipped == {"link_or_special": 1}


def test_large_binary_and_known_non_text_files_are_skipped_and_counted(share: Path) -> None:
    (share / "large.txt").write_bytes(b"x" * 1_001)
    (share / "fits.txt").write_bytes(b"x" * 1_000)
    (share / "blob").write_bytes(b"PK\0\1")
    (share / "photo.png").write_bytes(b"text")
    (share / "poetry.lock").write_bytes(b"text")
    shares_walk = walk(share)

    assert paths(shares_walk) == ["a.txt", "fits.txt", "b/c.txt", "b/deep/d.txt"]
    assert shares_walk.skipped == {"too_large": 1, "binary": 1, "by_name": 2}


def test_a_walk_ends_at_a_depth(tmp_path: Path) -> None:
    deepest = tmp_path.joinpath(*["d"] * (MAX_DEPTH + 1))
    deepest.mkdir(parents=True)
    (deepest / "low.txt").write_text("low")
    (deepest.parent / "high.txt").write_text("high")
    shares_walk = walk(tmp_path)

    assert paths(shares_walk) == ["/".join(["d"] * MAX_DEPTH) + "/high.txt"]
    assert shares_walk.skipped == {"too_deep": 1}


def test_nothing_at_a_path_is_said(share: Path) -> None:
    with pytest.raises(PathMissing, match=r"'b/none\.txt'"):
        paths(walk(share), "b/none.txt")


def test_a_pipe_as_the_path_is_refused(share: Path) -> None:
    os.mkfifo(share / "pipe")

    with pytest.raises(PathRefused, match="neither"):
        paths(walk(share), "pipe")


def test_a_name_that_is_no_text_still_becomes_one(share: Path) -> None:
    (share / os.fsdecode(b"na\xefve.txt")).write_text("x")

    assert "na?ve.txt" in paths(walk(share))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"plain", "plain"),
        (b"\xef\xbb\xbfmarked", "marked"),
        ("breit".encode("utf-16"), "breit"),
        (b"na\xefve", "na�ve"),
        (b"nul\0byte", None),
    ],
)
def test_text_is_told_from_what_is_none(content: bytes, text: str | None) -> None:
    assert decode(content) == text
