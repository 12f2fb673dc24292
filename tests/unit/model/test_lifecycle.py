"""The table of sub-states: whole, and the same on its page."""

from orchestrator.model.lifecycle import ANYTIME, LIFECYCLE, diagram, may_follow
from orchestrator.model.status import PluginState, SubState
from tests.unit.pages import ROOT, blocks, table


def test_every_sub_state_has_its_row() -> None:
    assert [*LIFECYCLE] == [*SubState]


def test_the_page_has_the_tables_rows() -> None:
    rows = table("docs/lifecycle.md", "Sub-states", first="sub-state")

    assert rows == [
        [sub, row.state, row.meaning.replace("`", "")] for sub, row in LIFECYCLE.items()
    ]


def test_the_pages_diagram_is_the_tables() -> None:
    [drawn] = [b.text for b in blocks(ROOT / "docs" / "lifecycle.md") if b.language == "mermaid"]

    assert drawn == diagram()


def test_the_diagram_draws_every_arrow_once_and_every_sub_state_in_its_box() -> None:
    lines = diagram().splitlines()
    arrows = [line.strip() for line in lines if "-->" in line]

    assert len(arrows) == len(set(arrows)) == sum(len(row.then) for row in LIFECYCLE.values())
    for sub, row in LIFECYCLE.items():
        box = lines.index(f"    state {row.state} {{")
        assert lines.index(f"        {sub}") in range(box, lines.index("    }", box))


def test_every_sub_state_can_be_left_and_reached() -> None:
    reached = {after for row in LIFECYCLE.values() for after in row.then} | ANYTIME

    assert {*SubState} - reached == {SubState.UNFIT}  # a daemon begins with it
    assert {sub for sub, row in LIFECYCLE.items() if not row.then} == {SubState.UNFIT}


def test_what_may_follow_at_any_time_is_drawn_by_no_arrow() -> None:
    assert {sub for sub, row in LIFECYCLE.items() if row.then & ANYTIME} == set()


def test_a_plugin_that_was_given_up_does_not_run_without_being_started() -> None:
    assert not may_follow(SubState.GAVE_UP, SubState.RUNNING)
    assert may_follow(SubState.GAVE_UP, SubState.GAVE_UP)
    assert may_follow(SubState.GAVE_UP, SubState.STOPPED)
    assert may_follow(SubState.STARTING, SubState.RUNNING)


def test_all_three_states_have_sub_states() -> None:
    assert {row.state for row in LIFECYCLE.values()} == {*PluginState}
