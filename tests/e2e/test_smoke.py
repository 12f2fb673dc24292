"""One plugin through the whole way."""

import pytest

from tests.support.instance import EXAMPLES, Instance

pytestmark = pytest.mark.docker


def test_a_plugin_comes_up_answers_and_leaves_nothing_behind(instance: Instance) -> None:
    instance.manifest(
        "knowledge-search",
        build=EXAMPLES / "knowledge-search",
        permissions=["file_system_write"],
    )
    instance.up()
    added = instance.call(
        "knowledge-search", {"title": "Gravity", "text": "An apple falls."}, tool="add_document"
    )
    found = instance.call("knowledge-search", {"query": "apple"}, tool="search")
    instance.down()

    assert [hit["id"] for hit in found["hits"]] == [added["id"]]
    assert instance.left_over() == []
