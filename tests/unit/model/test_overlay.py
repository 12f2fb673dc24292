"""overlay: RFC 7396 with permissions by name, every value with the place that it came from.

The oracle is the RFC's own procedure, in its words, with the list of permissions turned into a
mapping and back.
"""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from orchestrator.model.overlay import overlay
from orchestrator.model.parse import parse_tree
from orchestrator.model.problems import FieldPath, Position
from orchestrator.model.tree import Tree

KINDS = ["system_info", "network_access", "external_api", "user_interface"]
SCALARS = st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["", "a", "b"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
    ),
    max_leaves=8,
)
PARAMETERS = st.dictionaries(st.sampled_from(["ports", "hosts", "raw"]), VALUES, max_size=2)


def _permissions(parameters: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Each kind once, plain or with parameters."""
    return st.lists(
        st.tuples(st.sampled_from(KINDS), st.just(...) | parameters), unique_by=lambda one: one[0]
    ).map(lambda chosen: [kind if what is ... else {kind: what} for kind, what in chosen])


def _file(permissions: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    spec = st.fixed_dictionaries(
        {}, optional={"permissions": permissions, "config": VALUES, "state": SCALARS}
    )
    return st.fixed_dictionaries({}, optional={"kind": SCALARS, "spec": spec, "more": VALUES})


BASES = _file(_permissions(PARAMETERS))
PATCHES = _file(_permissions(PARAMETERS | st.none()))


def tree(data: JsonValue, file: str) -> Tree:
    return parse_tree(json.dumps(data, indent=1).encode(), file)


def merged(base: JsonValue, patch: JsonValue) -> Any:
    return overlay(tree(base, "base.json"), tree(patch, "patch.json")).data


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2, word by word."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def oracle(base: dict[str, Any], patch: dict[str, Any]) -> Any:
    """Permissions become mappings of names; a plain name is an empty mapping, and told apart."""

    def by_name(file: dict[str, Any]) -> dict[str, Any]:
        file = json.loads(json.dumps(file))
        granted = file.get("spec", {}).get("permissions")
        if granted is not None:
            file["spec"]["permissions"] = dict(
                (one, {}) if isinstance(one, str) else next(iter(one.items())) for one in granted
            )
        return file

    return merge_patch(by_name(base), by_name(patch))


def as_oracle(result: dict[str, Any]) -> Any:
    granted = result.get("spec", {}).get("permissions")
    if granted is not None:
        result["spec"]["permissions"] = dict(
            (one, {}) if isinstance(one, str) else next(iter(one.items())) for one in granted
        )
    return result


@given(BASES, PATCHES)
def test_it_is_the_rfcs_merge_patch_with_permissions_by_name(base: Any, patch: Any) -> None:
    assert as_oracle(merged(base, patch)) == oracle(base, patch)


@given(BASES)
def test_an_empty_patch_changes_nothing(base: Any) -> None:
    result = overlay(tree(base, "base.json"), tree({}, "patch.json"))

    assert result.data == base
    assert {place.file for place in result.positions.known.values()} == {"base.json"}


@given(BASES, PATCHES)
def test_a_patch_that_was_applied_changes_nothing_more(base: Any, patch: Any) -> None:
    once = merged(base, patch)

    assert merged(once, patch) == once


@given(BASES, PATCHES)
def test_what_the_patch_does_not_name_stays(base: Any, patch: Any) -> None:
    result = merged(base, patch)

    for key in base.keys() - patch.keys():
        assert result[key] == base[key]


@given(BASES, PATCHES)
def test_every_value_lies_where_one_of_the_files_has_it(base: Any, patch: Any) -> None:
    files = {"base.json": tree(base, "base.json"), "patch.json": tree(patch, "patch.json")}
    result = overlay(*files.values())

    for path in _paths(result.data):
        place = result.positions.known[path]
        values = [
            _value(files[place.file].data, other)
            for other, there in files[place.file].positions.known.items()
            if (there.line, there.column) == (place.line, place.column)
        ]
        found = _value(result.data, path)
        # A mapping may have grown; a value without parts is the very one that lies there.
        assert isinstance(found, dict | list) or found in values


def _paths(value: Any, at: FieldPath = ()) -> list[FieldPath]:
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    if isinstance(value, list):
        inner = list(enumerate(value))
    return [at, *(path for step, one in inner for path in _paths(one, (*at, step)))]


def _value(value: Any, path: FieldPath) -> Any:
    for step in path:
        value = value[step]
    return value


# -- exact rows -------------------------------------------------------------------------------


def spec(base: JsonValue, patch: JsonValue) -> Any:
    return merged({"spec": base}, {"spec": patch})["spec"]


def test_mappings_merge_scalars_replace_and_null_removes() -> None:
    base = {"source": {"build": "x"}, "config": {"a": 1, "b": {"c": 2, "d": 3}}}
    patch = {"source": {"build": None, "image": "y"}, "config": {"b": {"c": 4}}}

    assert spec(base, patch) == {
        "source": {"image": "y"},
        "config": {"a": 1, "b": {"c": 4, "d": 3}},
    }


def test_a_list_replaces_and_a_null_in_it_stays() -> None:
    assert spec({"config": {"a": [1, 2]}}, {"config": {"a": [None]}}) == {"config": {"a": [None]}}


def test_permissions_merge_by_name_in_the_bases_order() -> None:
    base = {"permissions": ["system_info", {"external_api": {"hosts": ["a:1", "b:2"]}}]}
    patch = {"permissions": ["user_interface", {"external_api": {"hosts": ["c:3"]}}]}

    assert spec(base, patch) == {
        "permissions": ["system_info", {"external_api": {"hosts": ["c:3"]}}, "user_interface"]
    }


def test_a_plain_name_grants_and_leaves_the_bases_parameters() -> None:
    base = {"permissions": [{"network_access": {"ports": [443]}}]}

    assert spec(base, {"permissions": ["network_access"]}) == base


def test_a_permission_of_null_is_taken_away_and_one_that_is_not_there_is_none() -> None:
    base = {"permissions": ["system_info", {"network_access": {"ports": [443]}}]}
    patch = {"permissions": [{"network_access": None}, {"user_interface": None}]}

    assert spec(base, patch) == {"permissions": ["system_info"]}


def test_a_permission_of_null_grants_nothing_where_the_base_says_nothing() -> None:
    assert spec({}, {"permissions": [{"system_info": None}]}) == {"permissions": []}


def test_a_parameter_of_null_is_taken_away() -> None:
    base = {"permissions": [{"network_access": {"ports": [443], "raw": True}}]}
    patch = {"permissions": [{"network_access": {"ports": None}}]}

    assert spec(base, patch) == {"permissions": [{"network_access": {"raw": True}}]}


def test_a_permission_twice_and_one_that_is_none_are_left_for_the_manifests_rules() -> None:
    base = {"permissions": ["system_info", "system_info"]}
    patch = {"permissions": [{"a": 1, "b": 2}, 7]}

    assert spec(base, patch) == {
        "permissions": ["system_info", "system_info", *patch["permissions"]]
    }


def test_what_was_removed_lies_where_the_patch_removes_it() -> None:
    result = overlay(
        parse_tree(b"spec:\n  source: x\n", "base.yaml"),
        parse_tree(b"\n\nspec:\n  source: null\n", "patch.yaml"),
    )

    assert result.positions.of(("spec", "source")) == Position(4, 3, "patch.yaml")
    assert result.positions.of(("spec",)) == Position(1, 1, "base.yaml")


def test_a_hostile_patch_of_many_permissions_costs_no_square() -> None:
    many: JsonValue = {"spec": {"permissions": [f"p{n}" for n in range(9_000)]}}

    assert len(merged(many, many)["spec"]["permissions"]) == 9_000
