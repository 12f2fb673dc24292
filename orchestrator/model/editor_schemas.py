"""JSON Schemas of our three files, for editors: completion and red lines while one types.

Made from the models, with two things put right: a permission is described as files write it (its
name, or its name over its parameters), and the texts below attributes become descriptions.
"""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from orchestrator.model.info import PluginInfo
from orchestrator.model.manifest import PluginManifest
from orchestrator.model.permissions import PermissionKind
from orchestrator.model.policy import InstanceConfig
from orchestrator.model.schema_cost import DIALECT

# A JSON Schema is JSON of any shape; so is each part of one.
_Schema = dict[str, Any]

_AUTHORS_ONLY = ("required", "reason")
"""Parameters of a permission that only plugin.yaml may have."""


def editor_schemas() -> dict[str, _Schema]:
    """By name: `manifest`, `plugin` (plugin.yaml), `orchestrator` (orchestrator.yaml)."""
    manifest = _schema_of(PluginManifest, hidden=_AUTHORS_ONLY)
    # The model says it in code: exactly one of build and image.
    manifest["$defs"]["Source"] |= {"minProperties": 1, "maxProperties": 1}
    return {
        "manifest": manifest,
        "plugin": _schema_of(PluginInfo),
        "orchestrator": _schema_of(InstanceConfig),
    }


def _schema_of(model: type[BaseModel], *, hidden: tuple[str, ...] = ()) -> _Schema:
    """The schema of `model`; `hidden` parameters of permissions are left out."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})
    models = {each.__name__: each for each in _models(BaseModel)}
    for name, definition in (*definitions.items(), (model.__name__, schema)):
        _tidy(definition, models.get(name))
    names = dict(_permission_models(definitions))
    for name in names:
        for parameter in ("kind", *hidden):
            del definitions[name]["properties"][parameter]
    if names:
        definitions["Permission"] = _permission(names)
    whole = _with_shorthand({"$schema": DIALECT, **schema, "$defs": definitions})
    return dict(whole)


def _models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        if model.__module__.startswith("orchestrator.model."):
            yield model
        yield from _models(model)


def _tidy(definition: _Schema, model: type[BaseModel] | None) -> None:
    """Descriptions in; pydantic's titles (the names once more) out."""
    definition.pop("title", None)
    texts = dict(_attribute_texts(model)) if model else {}
    for field, part in definition.get("properties", {}).items():
        part.pop("title", None)
        if "patternProperties" in part:
            part["additionalProperties"] = False
        if text := texts.get(field):
            part["description"] = text


def _attribute_texts(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """(field, the text below it), inherited ones first.

    pydantic could gather them itself, but it does so at import: 40 ms for every command.
    """
    for each in reversed(model.__mro__):
        if not (issubclass(each, BaseModel) and each.__module__.startswith("orchestrator.")):
            continue
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        body = definition.body if isinstance(definition, ast.ClassDef) else []
        for field, text in itertools.pairwise(body):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(words))),
                ):
                    alias = model.model_fields[name].alias
                    yield alias or name, inspect.cleandoc(words)
                case _:
                    pass


def _permission_models(definitions: _Schema) -> Iterator[tuple[str, str]]:
    """(model, permission) of the models in the union."""
    for name, definition in definitions.items():
        kind = definition.get("properties", {}).get("kind", {}).get("const")
        if kind in set(PermissionKind):
            yield name, kind


def _permission(names: dict[str, str]) -> _Schema:
    parameters = {
        kind: {"anyOf": [{"$ref": f"#/$defs/{model}"}, {"type": "null"}]}
        for model, kind in names.items()
    }
    return {
        "description": "A permission's name, or its name over its parameters.",
        "anyOf": [
            {"enum": sorted(names.values())},
            {
                "type": "object",
                "properties": parameters,
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ],
    }


def _with_shorthand(part: Any) -> Any:
    """`part` with every union of permissions replaced by the form that files use."""
    match part:
        case {"discriminator": _, "oneOf": _}:
            return {"$ref": "#/$defs/Permission"}
        case dict():
            return {name: _with_shorthand(value) for name, value in part.items()}
        case list():
            return [_with_shorthand(value) for value in part]
        case _:
            return part
