"""The five tools behind the SDK's dispatch, held to the schemas in plugin.yaml."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from knowledge_search import KnowledgeSearch
from orchestrator_sdk import PluginContext, PluginError
from orchestrator_sdk.testing import Problem
from orchestrator_sdk.tools import tools_of

from orchestrator.model.info import PluginInfo

Start = Callable[..., Callable[..., Any]]


def test_a_document_is_added_found_read_and_deleted(start: Start) -> None:
    call = start()
    added = call(
        "add_document",
        id="adr-7",
        title="Why plugins dial in",
        text="The host listens; the plugin connects.",
        tags=["decision"],
        metadata={"year": 2025},
    )
    found = call("search", query='"plugin connects"', tags=["decision"])
    whole = call("get_document", id="adr-7")
    stats = call("stats")
    deleted = call("delete_document", id="adr-7")

    assert added == {"id": "adr-7", "created": True}
    assert (found["count"], found["matched"]) == (1, "all")
    assert found["hits"][0]["snippet"] == "The host listens; the **plugin connects**."
    assert (whole["title"], whole["metadata"]) == ("Why plugins dial in", {"year": 2025})
    assert (stats["documents"], stats["tags"]) == (1, {"decision": 1})
    assert deleted == {"deleted": "adr-7"}
    assert call("search", query="plugin")["matched"] == "none"


def test_the_operator_s_hit_limit_comes_before_the_caller_s(start: Start) -> None:
    call = start(max_hits=2)
    for _ in range(4):
        call("add_document", title="same", text="words")

    assert call("search", query="words", limit=3)["count"] == 2


@pytest.mark.parametrize("tool", ["get_document", "delete_document"])
def test_an_unknown_id_is_a_404(start: Start, tool: str) -> None:
    call = start()
    with pytest.raises(Problem, match="there is no document 'none'") as caught:
        call(tool, id="none")

    assert (caught.value.status, caught.value.code) == (404, "document_not_found")


def test_a_text_larger_than_allowed_is_refused(start: Start) -> None:
    call = start(max_document_kb=1)
    with pytest.raises(Problem, match="1025 bytes found, at most 1024 expected"):
        call("add_document", title="x", text="x" * 1_025)

    assert call("add_document", title="x", text="x" * 1_024)["created"]


def test_a_full_index_is_a_507_and_shows_in_the_status(start: Start) -> None:
    call = start(max_disk_mb=4)
    before = call.tester.status()

    def fill() -> None:
        for number in range(500):
            call("add_document", title=f"{number}", text=f"w{number} " * 10_000)

    with pytest.raises(Problem) as caught:
        fill()
    full = call.tester.status()
    call("delete_document", id=call("search", query="0")["hits"][0]["id"])

    assert (caught.value.status, caught.value.code) == (507, "index_full")
    assert before.state == "ready"
    assert full.state == "degraded"
    assert full.metrics["used_bytes"] <= full.metrics["capacity_bytes"] <= 4 << 20


def test_a_volume_too_full_for_a_deletion_is_a_507(start: Start) -> None:
    plugin = start().tester.plugin

    class Full:
        def delete(self, document_id: str) -> bool:
            from knowledge_index import IndexFull  # noqa: PLC0415 - the path comes from conftest

            raise IndexFull

    index, plugin._index = plugin._index, Full()
    with pytest.raises(PluginError, match="raise max_disk_mb") as caught:
        plugin.delete_document("x")
    plugin._index = index

    assert (caught.value.status, caught.value.code) == (507, "volume_full")


def test_without_a_volume_the_start_is_refused() -> None:
    context = PluginContext(plugin_id="knowledge-search", instance_id="1")

    with pytest.raises(PluginError, match="file_system_write is not granted"):
        KnowledgeSearch().initialize({}, context)


def test_another_tokenizer_than_the_index_has_fails_the_start(start: Start) -> None:
    tester = start(tokenizer="english").tester

    with pytest.raises(PluginError, match="tokenizer: the index was not made with"):
        KnowledgeSearch().initialize({"tokenizer": "words"}, tester.plugin.context)


def test_plugin_yaml_is_a_valid_plugin_and_tells_what_the_code_does(info: dict[str, Any]) -> None:
    checked = PluginInfo.model_validate_json(json.dumps(info))

    assert {tool.name for tool in checked.tools} == tools_of(KnowledgeSearch()).keys()
