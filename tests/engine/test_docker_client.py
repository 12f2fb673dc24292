"""Engines that are missing, stuck or dying, played by a socket of the test."""

import asyncio
from pathlib import Path

import docker.errors
import pytest
import requests

from orchestrator.engine.base import (
    ContainerNameTaken,
    ContainerNotFound,
    DiskFull,
    EngineFailure,
    EngineUnavailable,
    ImageNotFound,
)
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.docker_client import DockerClients, translate
from tests.support.played_engine import engine_at

EVENT = (
    b'{"Type":"container","Action":"start","timeNano":1700000000000000000,'
    b'"Actor":{"ID":"abc","Attributes":{"color":"red"}}}\n'
)


def refusal(status: int, words: str) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    response._content = f'{{"message": "{words}"}}'.encode()
    try:
        docker.errors.create_api_error_from_http_exception(requests.HTTPError(response=response))
    except docker.errors.APIError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("status", "words", "leaf"),
    [
        (404, "No such container: abc", ContainerNotFound),
        (404, "No such image: abc:1", ImageNotFound),
        (404, "get abc: no such volume", EngineFailure),
        (
            409,
            "Conflict. The container name /a is already in use by container b",
            ContainerNameTaken,
        ),
        (409, "You cannot remove a paused container", EngineFailure),
        (500, "mkdir /var/lib/docker/x: no space left on device", DiskFull),
        (500, "boom", EngineFailure),
    ],
)
def test_each_refusal_has_its_leaf_and_keeps_the_engines_words(
    status: int, words: str, leaf: type[Exception]
) -> None:
    error = translate(refusal(status, words), "unix:///x")

    assert type(error) is leaf
    assert words in str(error)


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        (PermissionError(13, "denied"), "group"),
        (ConnectionRefusedError(111, "refused"), "systemctl start docker"),
        (TimeoutError("timed out"), "did not answer in time"),
        (requests.exceptions.ReadTimeout("slow"), "did not answer in time"),
        (requests.exceptions.ConnectionError("strange"), "strange"),
    ],
)
def test_an_engine_that_does_not_answer_is_told_with_advice(cause: Exception, advice: str) -> None:
    error = translate(cause, "unix:///run/x.sock")

    assert type(error) is EngineUnavailable
    assert advice in str(error)
    assert "unix:///run/x.sock" in str(error)


async def test_a_missing_socket_is_told_with_its_address(tmp_path: Path) -> None:
    clients = DockerClients.connect(f"unix://{tmp_path}/docker.sock")

    with pytest.raises(EngineUnavailable, match=f"{tmp_path}/docker.sock.*systemctl start docker"):
        await DockerEngine(clients).info()
    await clients.aclose()


async def test_docker_host_names_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/other.sock")
    clients = DockerClients.connect()

    assert clients.address == f"unix://{tmp_path}/other.sock"
    await clients.aclose()


async def test_the_version_is_asked_once_and_connections_are_kept(tmp_path: Path) -> None:
    asked: list[tuple[int, bytes]] = []

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")

    async with engine_at(tmp_path / "s", answer, asked=asked) as clients:
        for _ in range(3):
            assert await clients.run(lambda api: api.ping()) is True
        await asyncio.to_thread(lambda: clients.own(timeout=None).close())

    ping = b"GET /v1.41/_ping HTTP/1.1"
    assert [line for _, line in asked] == [b"GET /version HTTP/1.1", ping, ping, ping]
    # The SDK keeps connections by path, so `version` has one of its own.
    assert len({connection for connection, line in asked if line == ping}) == 1


async def test_an_engine_that_dies_ends_the_events_with_an_error(tmp_path: Path) -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head + f"{len(EVENT):x}\r\n".encode() + EVENT + b"\r\n")
        await writer.drain()
        writer.close()

    async with engine_at(tmp_path / "s", answer) as clients:
        stream = DockerEngine(clients).events({}, since=0.0)
        first = await anext(stream)

        with pytest.raises(EngineUnavailable):
            await anext(stream)
    assert (first.container_id, first.labels) == ("abc", (("color", "red"),))


async def test_an_engine_that_ends_the_events_in_good_order_is_gone_as_well(tmp_path: Path) -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")

    async with engine_at(tmp_path / "s", answer) as clients:
        with pytest.raises(EngineUnavailable, match="ended its stream"):
            await anext(DockerEngine(clients).events({}, since=0.0))


async def test_an_event_cut_in_two_is_put_together(tmp_path: Path) -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (EVENT[:30], EVENT[30:]):
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with engine_at(tmp_path / "s", answer) as clients:
        stream = DockerEngine(clients).events({}, since=0.0)
        async with asyncio.timeout(10):
            event = await anext(stream)
        await stream.aclose()

    assert event.container_id == "abc"
