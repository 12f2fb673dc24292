"""What a field expects is said in words, never as a regular expression."""

import pytest
from pydantic import BaseModel, JsonValue

from orchestrator.model.expectations import PATTERN_WORDS
from orchestrator.model.info import PluginInfo
from orchestrator.model.manifest import PluginManifest
from orchestrator.model.policy import InstanceConfig


@pytest.mark.parametrize("model", [PluginInfo, PluginManifest, InstanceConfig])
def test_every_pattern_of_the_models_has_words(model: type[BaseModel]) -> None:
    patterns = set(_patterns(model.model_json_schema()))

    assert patterns <= PATTERN_WORDS.keys()


def _patterns(node: JsonValue) -> list[str]:
    if isinstance(node, list):
        return [pattern for part in node for pattern in _patterns(part)]
    if not isinstance(node, dict):
        return []
    here = [node["pattern"]] if isinstance(node.get("pattern"), str) else []
    keys = node.get("patternProperties", {})
    here += list(keys) if isinstance(keys, dict) else []
    return [*map(str, here), *(each for part in node.values() for each in _patterns(part))]
