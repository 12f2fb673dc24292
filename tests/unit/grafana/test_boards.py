"""The dashboards: as their code makes them, as Grafana's schemas want them, tidy."""

import json
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from grafana.boards.grid import Board, Row, build
from grafana.boards.kit import lines, number
from grafana.build import texts
from tests.unit.grafana.boards import (
    BOARDS,
    FOLDER,
    exposed_names,
    expressions,
    load,
    named_metrics,
    panels,
    targets,
)
from tests.unit.pages import ROOT

SCHEMAS = ROOT.parent / "shared" / "data" / "grafana-schema"
NAMES = [path.name for path in BOARDS]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
ANYTHING = (("MatcherConfig", "options"), ("DynamicConfigValue", "value"))
"""Grafana's source says any value, and matches names by a string; the schemas say an object."""
needs_schemas = pytest.mark.skipif(
    not SCHEMAS.is_dir(), reason="Grafana's schemas are not beside this checkout"
)


@cache
def schema(name: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((SCHEMAS / f"{name}.jsonschema.json").read_text())
    for definition, field in ANYTHING:
        if definition in made["definitions"]:
            made["definitions"][definition]["properties"][field] = True
    return made


def mistakes(kind: str, part: str, value: object) -> list[str]:
    """What does not fit one definition of a schema."""
    whole = {**schema(kind.replace("-", "")), "$ref": f"#/definitions/{part}"}
    return [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}"
        for error in jsonschema_rs.Draft7Validator(whole).iter_errors(value)
    ]


# -- the code and the files --------------------------------------------------------------------


def test_what_is_committed_is_what_the_code_makes() -> None:
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == texts()


def test_there_are_the_five_boards() -> None:
    assert NAMES == [
        "delivery.json",
        "internals.json",
        "overview.json",
        "plugin.json",
        "security.json",
    ]


def test_titles_and_uids_are_unique_and_speak_of_the_orchestrator() -> None:
    boards = [load(name) for name in NAMES]

    assert len({board["uid"] for board in boards}) == len(boards)
    assert len({board["title"] for board in boards}) == len(boards)
    assert all(board["uid"].startswith("orchestrator-") for board in boards)


# -- the schemas -------------------------------------------------------------------------------


@needs_schemas
@pytest.mark.parametrize("name", NAMES)
def test_a_board_fits_grafanas_schema(name: str) -> None:
    assert mistakes("dashboard", "Dashboard", load(name)) == []


@needs_schemas
@pytest.mark.parametrize("name", NAMES)
def test_options_of_every_panel_fit_its_own_schema(name: str) -> None:
    wrong = {
        panel["title"]: found
        for panel in panels(load(name))
        if (found := mistakes(panel["type"], "Options", panel["options"]))
    }

    assert wrong == {}


@needs_schemas
@pytest.mark.parametrize("name", NAMES)
def test_field_options_of_every_panel_fit_its_own_schema(name: str) -> None:
    wrong = {
        panel["title"]: found
        for panel in panels(load(name))
        if "custom" in panel.get("fieldConfig", {}).get("defaults", {})
        and (
            found := mistakes(
                panel["type"], "FieldConfig", panel["fieldConfig"]["defaults"]["custom"]
            )
        )
    }

    assert wrong == {}


@needs_schemas
@pytest.mark.parametrize("name", NAMES)
def test_every_target_is_a_query_as_prometheus_takes_it(name: str) -> None:
    wrong = {
        f"{title} {target['refId']}": found
        for title, target in targets(load(name))
        if (found := mistakes("prometheus", "Dataquery", target))
    }

    assert wrong == {}


@needs_schemas
@pytest.mark.parametrize("name", NAMES)
def test_every_unit_is_one_that_grafana_knows(name: str) -> None:
    known = {it["const"] for it in schema("units")["definitions"].values() if "const" in it}
    used = {
        panel["fieldConfig"]["defaults"]["unit"]
        for panel in panels(load(name))
        if panel["type"] != "text"
    }

    assert {unit for unit in used if not unit.startswith("suffix:")} - known == set()


@needs_schemas
def test_the_schemas_find_a_wrong_option() -> None:
    panel = json.loads(json.dumps(panels(load("overview.json"))[0]))
    panel["options"]["graphMode"] = "ares"

    assert mistakes("stat", "Options", panel["options"])


# -- tidiness ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_unique(name: str) -> None:
    ids = [panel["id"] for panel in load(name)["panels"]]

    assert sorted(ids) == sorted(set(ids))
    assert 0 not in ids


def overlaps(board: dict[str, Any]) -> list[tuple[str, str]]:
    def cut(one: dict[str, int], other: dict[str, int]) -> bool:
        return (
            one["x"] < other["x"] + other["w"]
            and other["x"] < one["x"] + one["w"]
            and one["y"] < other["y"] + other["h"]
            and other["y"] < one["y"] + one["h"]
        )

    return [
        (one["title"], other["title"])
        for one, other in combinations(board["panels"], 2)
        if cut(_place(one), _place(other))
    ]


def _place(panel: dict[str, Any]) -> dict[str, int]:
    return {"x": 0, "y": 0, **panel["gridPos"]}


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_lies_over_another_or_beside_the_grid(name: str) -> None:
    board = load(name)

    assert overlaps(board) == []
    assert all(_place(it)["x"] + it["gridPos"]["w"] <= 24 for it in board["panels"])


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_as_wide_as_the_grid(name: str) -> None:
    widths: dict[int, int] = {}
    for panel in load(name)["panels"]:
        place = _place(panel)
        widths[place["y"]] = widths.get(place["y"], 0) + place["w"]

    assert set(widths.values()) == {24}


@pytest.mark.parametrize("name", NAMES)
def test_panels_side_by_side_are_of_one_height(name: str) -> None:
    heights: dict[int, set[int]] = {}
    for panel in load(name)["panels"]:
        place = _place(panel)
        heights.setdefault(place["y"], set()).add(place["h"])

    assert [found for found in heights.values() if len(found) > 1] == []


def test_an_overlap_would_be_found() -> None:
    board = load("overview.json")
    board["panels"][1]["gridPos"] = {**board["panels"][0]["gridPos"]}

    assert len(overlaps(board)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_has_a_title_a_unit_and_a_word_for_nothing(name: str) -> None:
    bare = [
        panel["title"]
        for panel in panels(load(name))
        if panel["type"] != "text"
        and not {"unit", "noValue"} <= panel["fieldConfig"]["defaults"].keys()
    ]

    assert bare == []
    assert all(panel["title"] for panel in panels(load(name)))


@pytest.mark.parametrize("name", NAMES)
def test_the_data_source_is_the_variable_everywhere(name: str) -> None:
    board = load(name)
    found = [target["datasource"] for _, target in targets(board)]
    found += [panel["datasource"] for panel in panels(board) if panel["type"] != "text"]
    found += [annotation["datasource"] for annotation in board["annotations"]["list"]]
    found += [it["datasource"] for it in board["templating"]["list"] if it["type"] == "query"]

    assert [it for it in found if it != SOURCE] == []
    assert board["templating"]["list"][0]["type"] == "datasource"


@pytest.mark.parametrize("name", NAMES)
def test_deploys_and_rollbacks_are_marked(name: str) -> None:
    names = [annotation["name"] for annotation in load(name)["annotations"]["list"]]

    assert {"Deploys", "Rollbacks"} <= {*names}


@pytest.mark.parametrize("name", ["overview.json", "plugin.json"])
def test_the_times_of_calls_show_their_traces_once(name: str) -> None:
    asked = [title for title, target in targets(load(name)) if target.get("exemplar")]

    assert len(asked) == 1
    assert "time" in asked[0].lower() or "latency" in asked[0].lower()


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_that_is_asked_for_exists(name: str) -> None:
    known = exposed_names()
    unknown = {
        where: missing
        for where, expression in expressions(load(name))
        if (missing := named_metrics(expression) - known)
    }

    assert unknown == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_expression_heeds_the_chosen_instance(name: str) -> None:
    deaf = [
        where
        for where, expression in expressions(load(name))
        if "instance=~" not in expression
        and "ALERTS" not in expression
        and where != "variable instance"
    ]

    assert deaf == []


# -- the grid ----------------------------------------------------------------------------------


def test_panels_that_do_not_fit_a_row_go_on_below() -> None:
    row = Row(
        title="a", panels=[lines(str(n), ("up", ""), unit="short", width=10) for n in range(3)]
    )
    board = Board(uid="x", title="x", about="", rows=(row, Row(panels=(number("b", "up"),))))

    made = build(board).panels or []
    places = [(it.grid_pos.x, it.grid_pos.y) for it in made if it.grid_pos is not None]
    assert places == [(0, 0), (0, 1), (10, 1), (0, 9), (0, 17)]


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.name)
def test_no_board_is_tied_to_a_machine(path: Path) -> None:
    text = path.read_text()

    assert "localhost" not in text
    assert "127.0.0.1" not in text
