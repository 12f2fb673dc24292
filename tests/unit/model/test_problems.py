"""How a problem is told."""

from orchestrator.model.problems import InvalidFile, Problem, dotted, shown, suggestion


def test_a_problem_is_one_line_with_place_field_and_hint() -> None:
    problem = Problem(
        file="a.yaml", line=3, field="spec.x", found="'1'", expected="2", hint="did you mean y?"
    )

    assert str(problem) == "a.yaml:3: spec.x: found '1', expected 2 (did you mean y?)"


def test_a_problem_of_the_whole_file_needs_neither_line_nor_field() -> None:
    assert str(Problem(file="a.yaml", found="x", expected="y")) == "a.yaml: found x, expected y"


def test_values_are_shown_short_on_one_line_and_without_control_characters() -> None:
    shown_values = [shown(value) for value in (None, True, 7, 1.5, {}, {"a": 1}, [], [1])]

    assert shown_values == [
        "null",
        "true",
        "7",
        "1.5",
        "an empty mapping",
        "a mapping",
        "an empty list",
        "a list",
    ]
    assert shown("a\n\x1b[31mb") == r"'a\n\x1b[31mb'"
    assert shown("x" * 100) == f"'{'x' * 59}…'"
    assert shown(10**5_000) == "a huge number"
    assert shown(-(10**5_000)) == "a huge number"


def test_odd_keys_are_quoted_in_paths() -> None:
    assert dotted(("spec", "permissions", 0, "external_api")) == "spec.permissions[0].external_api"
    assert dotted(("a b", "c.d", "e\n", 1, "")) == r"'a b'.'c.d'.'e\n'[1].''"
    assert dotted((0, "a")) == "[0].a"


def test_only_close_names_are_suggested() -> None:
    known = ["permissions", "source", "state"]

    assert suggestion("permissionz", known) == "did you mean permissions?"
    assert suggestion("zebra", known) == ""
    assert suggestion("permission" * 100_000, known) == ""


def test_a_terminal_is_not_flooded_but_the_error_has_every_problem() -> None:
    problems = [Problem(file=f"{n}.yaml", found="x", expected="y") for n in range(60)]
    error = InvalidFile(problems)

    assert len(error.problems) == 60
    assert str(error).splitlines()[49:] == ["49.yaml: found x, expected y", "and 10 more"]
