"""The files that the stack's containers read: complete, told apart by content, and readable."""

import json
from pathlib import Path

import pytest
import yaml

from orchestrator.engine.assets import AssetsMissing
from orchestrator.monitoring.stack.files import (
    assets,
    prometheus_config,
    put_files,
    read_files,
    tidy_files,
)
from tests.unit.grafana.boards import BOARDS, RULES
from tests.unit.pages import ROOT


def test_every_board_rule_and_provisioning_file_is_there() -> None:
    files = read_files(assets(), instance="mine")

    expected = {f"dashboards/{path.name}" for path in BOARDS}
    expected |= {f"prometheus/rules/{path.name}" for path in RULES}
    expected |= {
        "provisioning/datasources/prometheus.yaml",
        "provisioning/dashboards/orchestrator.yaml",
        "prometheus/prometheus.yaml",
    }
    assert files.keys() == expected


def test_the_target_bears_the_instances_name() -> None:
    config = yaml.safe_load(prometheus_config("mine"))

    [job] = config["scrape_configs"]
    assert job["job_name"] == "orchestrator"
    assert job["static_configs"][0]["labels"] == {"instance": "mine"}


def test_it_is_the_file_for_those_who_run_their_own_but_for_the_name() -> None:
    own = yaml.safe_load((ROOT / "grafana" / "prometheus" / "prometheus.yaml").read_text())

    assert yaml.safe_load(prometheus_config("default")) == own


def test_the_boards_find_the_provisioned_data_source() -> None:
    text = (ROOT / "grafana/provisioning/datasources/prometheus.yaml").read_text()
    [source] = yaml.safe_load(text)["datasources"]
    variable = json.loads(BOARDS[0].read_text())["templating"]["list"][0]

    assert source["type"] == variable["query"] == "prometheus"
    assert source["uid"] == variable["current"]["value"]


def test_what_is_put_is_readable_by_the_containers_user(tmp_path: Path) -> None:
    folder = put_files({"a/b.txt": "x"}, tmp_path / "files")

    assert (folder / "a" / "b.txt").read_text() == "x"
    modes = {path.stat().st_mode & 0o777 for path in (folder, folder / "a")}
    assert modes == {0o755}
    assert (folder / "a" / "b.txt").stat().st_mode & 0o777 == 0o644


def test_other_content_has_another_folder_and_the_same_has_the_same(tmp_path: Path) -> None:
    first = put_files({"a": "x"}, tmp_path)
    again = put_files({"a": "x"}, tmp_path)
    other = put_files({"a": "y"}, tmp_path)

    assert first == again != other


def test_one_killed_while_writing_leaves_nothing_half(tmp_path: Path) -> None:
    whole = put_files({"a": "x"}, tmp_path)
    half = tmp_path / f"{whole.name}.coming"
    whole.rename(half)
    (half / "b").write_text("of a killed one")

    assert [path.name for path in put_files({"a": "x"}, tmp_path).iterdir()] == ["a"]


def test_older_ones_go(tmp_path: Path) -> None:
    put_files({"a": "x"}, tmp_path)
    kept = put_files({"a": "y"}, tmp_path)
    tidy_files(tmp_path, keep=kept)

    assert [*tmp_path.iterdir()] == [kept]


def test_an_incomplete_installation_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(AssetsMissing, match=r"dashboards/overview\.json"):
        assets(tmp_path / "a" / "b" / "c")
