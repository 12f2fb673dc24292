"""A Tree as a model: pydantic's errors in our own words, each with its line."""

import json
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.model.base import Unexpected
from orchestrator.model.expectations import expected_at, known_fields, one_of, without_tags
from orchestrator.model.permissions import PermissionKind
from orchestrator.model.problems import InvalidFile, Problem, problem_at, shown, suggestion
from orchestrator.model.tree import Tree

_Model = TypeVar("_Model", bound=BaseModel)


def validated(model: type[_Model], tree: Tree) -> _Model:
    """The file as `model`. Raises InvalidFile with all problems, in the file's order."""
    try:
        # Through JSON text: strict mode then takes lists for tuples and text for enumerations,
        # and still no "5" for a number.
        return model.model_validate_json(json.dumps(tree.data))
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems = [_problem(model, tree, detail) for detail in details]
        raise InvalidFile(in_order(problems)) from error


def in_order(problems: list[Problem]) -> list[Problem]:
    """By line; a file is corrected from top to bottom. A merged manifest has two files."""
    return sorted(problems, key=lambda each: (each.file, each.line or 0, each.column or 0))


def _problem(model: type[BaseModel], tree: Tree, detail: ErrorDetails) -> Problem:
    place = detail["loc"]
    path = without_tags(model, place, tree.data)
    found, expected, hint = shown(detail["input"]), "", ""
    match detail["type"]:
        case "missing":
            found = "nothing"
        case "extra_forbidden":
            found = "an unknown field"
            known = known_fields(model, place[:-1])
            expected, hint = one_of(known) or "no fields", suggestion(str(place[-1]), known)
        case "union_tag_invalid":
            tag = str(detail["ctx"]["tag"])
            found, hint = shown(tag), suggestion(tag, PermissionKind)
        case "value_error":
            return _refused_by_validator(tree, detail)
        case "string_too_long":
            found = f"text of {len(detail['input']):,} characters"
        case _:
            pass
    expected = expected or expected_at(model, place)
    return problem_at(tree.file, tree.positions, path, found=found, expected=expected, hint=hint)


def _refused_by_validator(tree: Tree, detail: ErrorDetails) -> Problem:
    refusal = detail["ctx"]["error"]
    if not isinstance(refusal, Unexpected):
        refusal = Unexpected(found=shown(detail["input"]), expected=str(refusal))
    path = (*detail["loc"], *refusal.field)
    return problem_at(
        tree.file, tree.positions, path, found=refusal.found, expected=refusal.expected
    )
