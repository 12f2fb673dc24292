"""Pages: what an author's handle_ui is given, and what the host gets of its answer."""

from pathlib import Path
from typing import Any

import pytest
from fake_host import FakeHost, problem_of, python_plugin
from orchestrator_sdk import PluginError, PluginInterface, UiRequest, tool
from orchestrator_sdk.testing import PluginTester, Problem

PAGES = """
from orchestrator_sdk import PluginInterface


class Tested(PluginInterface):
    async def handle_ui(self, request):
        seen = [request.method, request.path, request.query, request.content_type]
        return 201, "text/plain; charset=utf-8", repr(seen).encode() + request.body
"""


class Answers(PluginInterface):
    """Gives what the test put there."""

    answer: Any = (200, "text/html", "<p>ü")

    def handle_ui(self, request: UiRequest) -> Any:
        if request.path == "/none":
            raise PluginError("no such page", 404, code="lost")
        return self.answer


def test_a_page_is_asked_for_over_the_connection_with_its_query_and_its_body(
    host: FakeHost, folder: Path
) -> None:
    with python_plugin(folder, PAGES, sockets=folder):
        host.started()
        call = host.lane("calls")
        answer = call.ask("POST", "/v1/ui/a%20b/c?d=%20&e", b"body", {"Content-Type": "text/x"})

    assert (answer.status, answer.headers["content-type"]) == (201, "text/plain; charset=utf-8")
    assert answer.body == b"['POST', '/a b/c', 'd=%20&e', 'text/x']body"


def test_pages_wait_for_initialize(host: FakeHost, folder: Path) -> None:
    with python_plugin(folder, PAGES, sockets=folder):
        host.lane("control")
        answer = host.lane("calls").ask("GET", "/v1/ui/")

    assert problem_of(answer) == (503, "not_running")


def test_text_is_sent_as_utf_8_and_bytes_as_they_are() -> None:
    with PluginTester(Answers) as tester:
        text = tester.ui("/")
        tester.plugin.answer = (404, "image/png", b"\xff")  # type: ignore[attr-defined]
        image = tester.ui("/x")

    assert text == (200, "text/html", "<p>ü".encode())
    assert image == (404, "image/png", b"\xff")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "<p>",
        (200, "text/html"),
        ("200", "text/html", b""),
        (101, "text/html", b""),
        (600, "text/html", b""),
        (200, "text/html\r\nSet-Cookie: a=b", b""),
        (200, "", b""),
        (200, "text/html", 7),
    ],
)
def test_an_answer_of_another_form_is_a_problem(answer: Any) -> None:
    with PluginTester(Answers) as tester:
        tester.plugin.answer = answer  # type: ignore[attr-defined]
        with pytest.raises(Problem) as caught:
            tester.ui("/")

    assert (caught.value.status, caught.value.code) == (500, "invalid_output")


def test_a_page_that_is_not_there_is_the_plugins_own_problem() -> None:
    with PluginTester(Answers) as tester, pytest.raises(Problem) as caught:
        tester.ui("/none")

    assert (caught.value.status, caught.value.code) == (404, "lost")


def test_a_plugin_without_pages_says_so() -> None:
    class Bare(PluginInterface):
        @tool
        def hello(self) -> str:
            return "hello"

    with PluginTester(Bare) as tester, pytest.raises(Problem) as caught:
        tester.ui("/")

    assert (caught.value.status, caught.value.code) == (404, "no_pages")
