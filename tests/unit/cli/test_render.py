import click
import pytest

from orchestrator.cli.render import (
    MARKS,
    MOST_LINES,
    all_lines,
    duration,
    fields,
    mark,
    one_line,
    plugin_rows,
    printable,
    table,
)
from orchestrator.model.status import PluginState
from tests.unit.cli.fake_daemon import PLUGIN_ROW

HOSTILE = "a\x1b[2J\x1b]0;owned\x07b\x9b1m\u202ec\rd\x00e\x7f"


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    shown = click.unstyle(table(["NAME", "X"], [["a", "1"], ["longer", "22"]]))

    assert shown == "NAME    X\na       1\nlonger  22"


def test_colours_do_not_widen_a_column() -> None:
    plain = table(["NAME", "X"], [["a", "1"]])
    coloured = table(["NAME", "X"], [[click.style("a", fg="red"), "1"]])

    assert click.unstyle(coloured) == click.unstyle(plain)


def test_no_line_of_a_table_ends_in_blanks() -> None:
    shown = click.unstyle(table(["NAME", "DETAIL"], [["a", ""], ["b", "long detail"]]))

    assert [line for line in shown.splitlines() if line != line.rstrip()] == []


def test_values_of_fields_are_aligned() -> None:
    assert click.unstyle(fields([("a", "1"), ("long", "2")])) == "a     1\nlong  2"


def test_further_lines_stand_below_their_row_or_value_further_in() -> None:
    rows = [["a", "one:\n  two\nthree"], ["b", "x"]]
    shown = click.unstyle(table(["NAME", "DETAIL"], rows))

    assert shown == "NAME  DETAIL\na     one:\n      two\n    three\nb     x"
    assert click.unstyle(fields([("a", "1\n2")])) == "a  1\n       2"


def test_all_lines_are_shown_each_clean_and_of_very_many_the_first() -> None:
    assert all_lines(f"first:\n  {HOSTILE}\n\n  last").count("\n") == 3  # one is of a return
    assert all(line.isprintable() for line in all_lines(HOSTILE).split("\n"))
    assert all_lines("x" * 101, 100) == "x" * 99 + "…"
    assert all_lines("") == ""
    many = all_lines("line\n" * 1_000).split("\n")
    assert (len(many), many[-1]) == (MOST_LINES + 1, f"… and {1_000 - MOST_LINES} lines more")


def test_every_state_of_a_plugin_has_a_mark_of_its_own() -> None:
    assert set(MARKS) == set(PluginState)
    assert len({sign for sign, _ in MARKS.values()}) == len(MARKS)
    assert {state for state in PluginState if state not in mark(state)} == set()


def test_an_unknown_state_is_shown_all_the_same() -> None:
    assert click.unstyle(mark("odd")) == "? odd"


def test_one_line_shows_the_first_line_cut_and_without_control_characters() -> None:
    assert one_line(HOSTILE + "\nsecond").isprintable()
    assert "second" not in one_line("first\nsecond")
    assert one_line("x" * 101) == "x" * 99 + "…"
    assert one_line("x" * 100) == "x" * 100
    assert one_line("") == ""


def test_printable_keeps_lines_and_tabs_and_nothing_else_that_a_terminal_acts_on() -> None:
    shown = printable(f"line\n\tindented {HOSTILE}")

    assert shown.startswith("line\n\tindented a")
    assert [c for c in shown if not c.isprintable() and c not in "\n\t"] == []


def test_text_of_any_language_is_printable() -> None:
    text = "größer 日本語 ● … 🙂"

    assert (printable(text), one_line(text)) == (text, text)


def test_a_plugin_without_a_container_has_a_dash_for_one() -> None:
    row = {**PLUGIN_ROW, "container_id": "", "status": "inactive", "detail": "stopped"}

    [_, line] = click.unstyle(plugin_rows([row])).splitlines()
    assert line.split() == ["notes", "1.2.3", "○", "inactive", "0", "-", "stopped"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m 1s"),
        (3_600, "1h"),
        (11_525, "3h 12m"),
        (90_061, "1d 1h"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
