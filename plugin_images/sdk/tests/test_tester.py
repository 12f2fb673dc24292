"""The author's classes and the test harness, in process."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from socket import socketpair
from typing import Any

import pytest
from orchestrator_sdk import (
    InputError,
    PluginContext,
    PluginError,
    PluginEvent,
    PluginInterface,
    PluginStatus,
    tool,
)
from orchestrator_sdk.dispatch import Dispatcher, _begun
from orchestrator_sdk.messages import Reply
from orchestrator_sdk.testing import PluginTester, Problem
from orchestrator_sdk.wire import Connection

SDK = Path(__file__).resolve().parent.parent


class Notes(PluginInterface):
    """Every method asynchronous, state in the data folder."""

    closed = 0

    async def initialize(self, config: Mapping[str, Any], context: PluginContext) -> bool:
        assert context is self.context
        return bool(config.get("accept", True))

    async def execute(self, input_data: Any) -> Any:
        return {"input": input_data, "seconds": self.context.deadline_seconds()}

    @tool
    def write(self, name: str, *, text: str = "") -> int:
        if not name:
            raise InputError("name is empty")
        assert self.context.data_dir is not None
        return (self.context.data_dir / name).write_text(text)

    @tool(name="read_back")
    async def read(self, name: str) -> bytes:
        assert self.context.data_dir is not None
        return (self.context.data_dir / name).read_bytes()

    @tool
    def secret(self, name: str) -> str:
        return self.context.secret(name)

    @tool
    async def numbers(self) -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d" % number

    async def handle_event(self, event: PluginEvent) -> None:
        self.last = event

    async def get_status(self) -> PluginStatus:
        return PluginStatus(metrics={"closed": self.closed})

    async def cleanup(self) -> bool:
        self.closed += 1
        return True


class OnlyTools(PluginInterface):
    @tool
    def hello(self) -> str:
        return "hello"


def test_an_asynchronous_plugin_is_called_like_any_other() -> None:
    with PluginTester(Notes) as tester:
        called = tester.call([1], deadline_seconds=30)
        written = tester.tool("write", name="a", text="text")
        read = tester.tool("read_back", name="a")
        streamed = tester.tool("numbers")
        status = tester.status()
        plugin, folder = tester.plugin, tester.data_dir

    assert called["input"] == [1]
    assert 29 < called["seconds"] <= 30
    assert (written, read, streamed) == (4, b"text", b"012")
    assert (status.state, status.metrics) == ("ready", {"closed": 0})
    assert isinstance(plugin, Notes)
    assert plugin.closed == 1
    assert not folder.exists()


def test_an_event_arrives_with_all_its_attributes() -> None:
    with PluginTester(Notes) as tester:
        tester.event("order.paid", {"id": 7}, subject="7", region="eu")
        assert isinstance(tester.plugin, Notes)
        event = tester.plugin.last

    assert (event.type, event.data, event.subject) == ("order.paid", {"id": 7}, "7")
    assert (event.source, event.extensions) == ("/plugin-tester", {"region": "eu"})


@pytest.mark.parametrize(
    ("tool_name", "arguments", "status", "code"),
    [
        ("write", {"name": ""}, 422, "invalid_input"),
        ("write", {"text": "x"}, 422, "invalid_input"),
        ("write", {"name": "x", "self": 1}, 422, "invalid_input"),
        ("read", {"name": "x"}, 404, "no_tool"),
        ("read_back", {"name": "none"}, 500, "plugin_exception"),
        ("secret", {"name": "absent"}, 500, "secret_missing"),
        ("secret", {"name": "../data/a"}, 500, "plugin_exception"),
    ],
)
def test_a_failure_is_the_problem_that_the_host_would_see(
    tool_name: str, arguments: dict[str, Any], status: int, code: str
) -> None:
    with PluginTester(Notes) as tester, pytest.raises(Problem) as caught:
        tester.tool(tool_name, **arguments)

    assert (caught.value.status, caught.value.code) == (status, code)


def test_a_secret_is_its_file_without_the_last_newline() -> None:
    with PluginTester(Notes, secrets={"key": " s3cret\n\n"}) as tester:
        assert tester.tool("secret", name="key") == " s3cret\n"


def test_a_start_that_initialize_refuses_raises_and_leaves_no_folder() -> None:
    tester = PluginTester(Notes, config={"accept": False})

    with pytest.raises(Problem, match="initialize_refused"):
        tester.__enter__()
    assert not tester.data_dir.parent.exists()


def test_a_plugin_of_tools_needs_no_execute_and_says_so_when_asked_for_it() -> None:
    with PluginTester(OnlyTools) as tester:
        assert tester.tool("hello") == "hello"
        with pytest.raises(Problem, match="offers tools only") as caught:
            tester.call()
        with pytest.raises(Problem, match="no handle_event"):
            tester.event("any")

    assert caught.value.code == "tool_expected"


def test_a_plugin_without_tools_and_without_execute_cannot_be_made() -> None:
    class Nothing(PluginInterface):
        pass

    with pytest.raises(TypeError, match="execute"):
        Nothing()


def test_a_plugin_error_chooses_its_problem() -> None:
    class Picky(PluginInterface):
        def execute(self, input_data: Any) -> Any:
            raise PluginError("come back later", 429, "Slow down", "too_fast")

    with PluginTester(Picky) as tester, pytest.raises(Problem) as caught:
        tester.call()

    problem = caught.value
    assert (problem.status, problem.code) == (429, "too_fast")
    assert (problem.title, problem.detail) == ("Slow down", "come back later")


def test_text_that_is_no_unicode_does_not_cost_the_problem() -> None:
    class Odd(PluginInterface):
        def execute(self, input_data: Any) -> Any:
            raise ValueError("\udcff")

    with PluginTester(Odd) as tester, pytest.raises(Problem, match="ValueError") as caught:
        tester.call()

    assert caught.value.detail == "ValueError: ?"


def test_wrong_values_are_refused_where_they_are_made() -> None:
    with pytest.raises(ValueError, match="'fine' found"):
        PluginStatus("fine")
    with pytest.raises(ValueError, match="finite"):
        PluginStatus(metrics={"load": float("nan")})
    with pytest.raises(ValueError, match="status 200"):
        PluginError("no error", 200)
    with pytest.raises(ValueError, match="tool name 'Bad-Name'"):
        tool(name="Bad-Name")(lambda: None)


def test_two_tools_of_one_name_are_refused() -> None:
    class Twins(PluginInterface):
        @tool(name="same")
        def one(self) -> None: ...

        @tool(name="same")
        def two(self) -> None: ...

    with pytest.raises(TypeError, match="'same' twice"):
        Dispatcher(Twins())


def test_input_reaches_execute_by_its_content_type() -> None:
    class Kind(PluginInterface):
        def execute(self, input_data: Any) -> Any:
            return type(input_data).__name__

    with PluginTester(Kind) as tester:
        assert tester.call({"a": 1}) == "dict"
        assert tester.call(None) == "NoneType"
        assert tester.call(b"", content_type="text/plain") == "NoneType"
        assert tester.call(b"{}", content_type="text/plain") == "bytes"
        assert tester.call(b"{}", content_type="application/ld+json; charset=utf-8") == "dict"


def test_a_wrapped_tool_is_called_through_its_wrapper() -> None:
    def doubled(function: Any) -> Any:
        def wrapper(self: Any, **arguments: Any) -> Any:
            return 2 * function(self, **arguments)

        return wrapper

    class Wrapped(PluginInterface):
        @tool(name="add")
        @doubled
        def add(self, left: int, right: int) -> int:
            return left + right

    with PluginTester(Wrapped) as tester:
        assert tester.tool("add", left=1, right=2) == 6


def test_a_generator_is_closed_when_its_reader_leaves() -> None:
    closed = []

    def pieces() -> Iterator[bytes]:
        try:
            yield b"1"
            yield b"2"
        finally:
            closed.append(True)

    begun = _begun(pieces())
    next(begun)
    begun.close()  # type: ignore[attr-defined]

    assert closed == [True]


def test_the_server_is_imported_without_what_makes_python_slow_to_start() -> None:
    # Time is flaky, names are not: together these cost three times what all of ours does.
    heavy = "asyncio dataclasses inspect http.client http.server email.parser base64 tempfile ssl"
    program = (
        f"import sys; sys.path.insert(0, {str(SDK)!r}); import orchestrator_sdk.__main__;"
        f"print(*sorted(set({heavy.split()!r}) & set(sys.modules)))"
    )
    # Without site-packages, whose start-up hooks import what they like.
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == ""


def test_only_the_standard_library_is_imported() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(SDK)!r});"
        "import orchestrator_sdk.__main__, orchestrator_sdk.testing;"
        "print(*{name.partition('.')[0] for name in sys.modules}"
        " - set(sys.stdlib_module_names) - {'__main__', 'orchestrator_sdk'})"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == ""


def test_the_readme_runs() -> None:
    blocks = (SDK / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
    program = "\n".join(block.partition("```")[0] for block in blocks)

    assert len(blocks) == 4
    exec(program, {"__name__": "readme"})  # noqa: S102 - our own text


def test_what_json_cannot_say_is_a_problem_and_no_broken_document() -> None:
    class NoNumber(PluginInterface):
        def execute(self, input_data: Any) -> Any:
            return {"mean": float("nan")}

    with PluginTester(NoNumber) as tester, pytest.raises(Problem) as caught:
        tester.call()

    assert (caught.value.status, caught.value.code) == (500, "invalid_output")


def test_an_empty_piece_does_not_end_a_stream() -> None:
    left, right = socketpair()
    with left, right:
        Connection(left).write(Reply(200, iter([b"", b"a", b"", b"b"])))
        sent = right.recv(1_000)

    assert sent.endswith(b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
