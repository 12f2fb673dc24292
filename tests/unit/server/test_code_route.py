"""`POST /v1/code`: what is no run of code is refused, by field."""

import json
from typing import Any

import pytest

from orchestrator.model.permissions import FileSystemRead
from orchestrator.server.code_route import CodeRequestRefused, _parse


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "Invalid JSON"),
        ({}, "code: Field required"),
        ({"code": 1}, "code: Input should be a valid string"),
        ({"code": "1", "image": "mine"}, "image: Extra inputs are not permitted"),
        ({"code": "1", "permissions": ["root"]}, "permissions"),
        ({"code": "1", "permissions": ["system_info"] * 2}, "system_info more than once"),
        (
            {"code": "1", "permissions": [{"system_info": {"required": True}}]},
            "'required' or 'reason' of system_info",
        ),
        ({"code": "1", "limits": {"max_memory_mb": 0}}, "limits.max_memory_mb"),
    ],
)
def test_a_request_that_is_no_run_of_code_is_refused(body: Any, words: str) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    with pytest.raises(CodeRequestRefused) as caught:
        _parse(text.encode())

    assert words in str(caught.value)


def test_permissions_are_written_as_in_a_manifest() -> None:
    wish = _parse(b'{"code": "1", "permissions": [{"file_system_read": {"shares": ["a"]}}]}')

    assert wish.permissions == (FileSystemRead(shares=("a",)),)
