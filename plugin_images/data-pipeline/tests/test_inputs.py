"""Which files a call's inputs may be, and every way out of a share that is refused."""

import json
from pathlib import Path

import pytest
from data_pipeline_inputs import Folders, InputMissing, InputRefused


@pytest.fixture
def folders(share: Path, tmp_path: Path) -> Folders:
    outputs, work = tmp_path / "outputs", tmp_path / "work"
    outputs.mkdir()
    work.mkdir()
    (tmp_path / "outside.csv").write_text("a\n1\n")
    (tmp_path / "mnt" / "datasets-two").mkdir()
    (tmp_path / "mnt" / "datasets-two" / "x.csv").write_text("a\n1\n")
    (outputs / "monthly.parquet").write_bytes(b"PAR1")
    return Folders(shares={"datasets": share}, outputs=outputs, work=work)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", "csv"),
        ("a.TSV", "csv"),
        ("a.csv.gz", "csv"),
        ("a.json", "json"),
        ("a.jsonl", "json"),
        ("a.ndjson", "json"),
        ("a.parquet", "parquet"),
    ],
)
def test_the_format_is_told_by_the_name(
    folders: Folders, share: Path, name: str, expected: str
) -> None:
    (share / name).write_bytes(b"")
    [source] = folders.resolve({"t": {"share": "datasets", "path": name}})

    assert (source.table, source.file, source.format) == ("t", share / name, expected)


def test_a_stated_format_comes_before_the_name(folders: Folders, share: Path) -> None:
    (share / "data.txt").write_bytes(b"")
    [source] = folders.resolve({"t": {"share": "datasets", "path": "data.txt", "format": "json"}})

    assert source.format == "json"


@pytest.mark.parametrize(
    "path",
    ["../outside.csv", "/etc/passwd", "x/../../outside.csv", "*.csv", "sale?.csv", "a\0.csv"],
)
def test_a_path_that_could_mean_another_file_is_refused(folders: Folders, path: str) -> None:
    with pytest.raises(InputRefused, match=r"inputs\.t: expected"):
        folders.resolve({"t": {"share": "datasets", "path": path, "format": "csv"}})


@pytest.mark.parametrize("target", ["outside.csv", "mnt/datasets-two/x.csv"])
def test_a_link_out_of_the_share_is_refused(
    folders: Folders, share: Path, tmp_path: Path, target: str
) -> None:
    (share / "link.csv").symlink_to(tmp_path / target)

    with pytest.raises(InputRefused, match="leads out of the share"):
        folders.resolve({"t": {"share": "datasets", "path": "link.csv"}})


def test_a_link_inside_the_share_is_its_target(folders: Folders, share: Path) -> None:
    (share / "link.csv").symlink_to("sales.csv")
    [source] = folders.resolve({"t": {"share": "datasets", "path": "link.csv"}})

    assert source.file == share / "sales.csv"


@pytest.mark.parametrize("path", ["none.csv", "", ".", "loop.csv"])
def test_what_is_no_file_is_missing(folders: Folders, share: Path, path: str) -> None:
    (share / "loop.csv").symlink_to("loop.csv")

    with pytest.raises(InputMissing):
        folders.resolve({"t": {"share": "datasets", "path": path, "format": "csv"}})


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"share": "documents", "path": "a.csv"}, "'documents' is not granted .* datasets"),
        ({}, "none found, exactly one of"),
        ({"share": "datasets", "rows": [{}]}, "share, rows found, exactly one of"),
        ({"rows": []}, "no rows found"),
        ({"share": "datasets", "path": "sales.csv", "format": "xml"}, "format 'xml' found"),
    ],
)
def test_a_malformed_input_is_refused_with_what_was_found(
    folders: Folders, wanted: dict[str, object], message: str
) -> None:
    with pytest.raises(InputRefused, match=message):
        folders.resolve({"t": wanted})


def test_an_unknown_suffix_without_a_format_is_refused(folders: Folders, share: Path) -> None:
    (share / "data.txt").write_bytes(b"")

    with pytest.raises(InputRefused, match=r"format '\.txt' found, csv, json, parquet expected"):
        folders.resolve({"t": {"share": "datasets", "path": "data.txt"}})


@pytest.mark.parametrize("table", ["", "1a", "__result", "a b", 'a"; DROP', "a" * 64])
def test_a_table_s_name_is_a_plain_one(folders: Folders, table: str) -> None:
    with pytest.raises(InputRefused, match="a name like"):
        folders.resolve({table: {"rows": [{"a": 1}]}})


def test_rows_become_a_file_of_the_call(folders: Folders) -> None:
    [source] = folders.resolve({"t": {"rows": [{"a": 1}, {"a": "zwei"}]}})
    lines = source.file.read_text().splitlines()

    assert source.file.parent == folders.work
    assert [json.loads(line) for line in lines] == [{"a": 1}, {"a": "zwei"}]


def test_an_output_is_found_whatever_its_format(folders: Folders) -> None:
    [source] = folders.resolve({"t": {"output": "monthly"}})

    assert source.format == "parquet"
    with pytest.raises(InputMissing, match="no output 'weekly'"):
        folders.resolve({"t": {"output": "weekly"}})
