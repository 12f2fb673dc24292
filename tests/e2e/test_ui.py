"""Pages of real plugins in a real browser: what works, and what a page cannot do."""

import json
import re
from collections.abc import Iterator
from html import unescape
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from orchestrator.clock import SystemClock
from tests.support.browser import Browser
from tests.support.instance import PLUGINS, Instance, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

BRAKE_SECONDS = 1.0

OTHER = """
from orchestrator_sdk import PluginInterface, tool


class Plugin(PluginInterface):
    seen = 0

    @tool
    def asked(self):
        return {"times": self.seen}

    def handle_ui(self, request):
        self.seen += 1
        return 200, "text/html", "<p>other</p>"
"""


class Elsewhere(ThreadingHTTPServer):
    """Any other site: it allows everything, frames what it is told to, and counts who comes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.framed = ""
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Elsewhere

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = f'<p id="outside">outside</p><iframe src="{self.server.framed}"></iframe>'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name http.server looks for

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class Visits:
    """A page loaded again and again, without a browser: (status, when) of each."""

    def __init__(self, page: str) -> None:
        self.seen: list[tuple[int, float]] = []
        self._url = urlsplit(page)
        self._over = Event()
        self._thread = Thread(target=self._visit)

    def __enter__(self) -> "Visits":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=60)

    def with_status(self, status: int) -> list[float]:
        return [when for found, when in list(self.seen) if found == status]

    def _visit(self) -> None:
        answer = self._get(f"{self._url.path}?{self._url.query}")
        cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
        while not self._over.wait(0.05):
            answer = self._get(self._url.path, Cookie=cookie)
            self.seen.append((answer.status, SystemClock().now()))

    def _get(self, path: str, **headers: str) -> HTTPResponse:
        connection = HTTPConnection("127.0.0.1", self._url.port or 80, timeout=30)
        connection.request("GET", path, headers={"Host": self._url.netloc, **headers})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return Browser.installed(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    server = Elsewhere()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def pages(shared_instance: Instance, shared_workshop: Workshop, elsewhere: Elsewhere) -> Instance:
    """The plugin of pages and another one beside it, on a port that is free."""
    ui: dict[str, Any] = {"permissions": ["user_interface"]}
    shared_instance.policy(ui={"port": 0})
    shared_instance.manifest(
        "e2e-pages", build=PLUGINS / "pages", config={"elsewhere": elsewhere.origin}, **ui
    )
    info = {**ui, "tools": [{"name": "asked", "description": "How often."}]}
    shared_workshop.script("e2e-other", OTHER, info=info, **ui)
    shared_workshop.script("e2e-bare", OTHER, info=info)
    shared_instance.up("--config", str(shared_instance.config))
    return shared_instance


def address(instance: Instance, plugin: str) -> str:
    return instance.run("ui", plugin).stdout.strip()


@pytest.fixture(scope="module")
def found(pages: Instance, browser: Browser) -> dict[str, Any]:
    """What the page of e2e-pages could do."""
    dom = browser.dom(address(pages, "e2e-pages"))
    match = re.search(r'<pre id="found">(.+?)</pre>', dom)
    assert match is not None, dom
    tried: dict[str, Any] = json.loads(unescape(match[1]))
    return tried


def test_a_page_has_its_style_its_script_its_image_and_its_own_plugin(
    found: dict[str, Any],
) -> None:
    assert found["style"] == "rgb(1, 2, 3)"
    assert found["image"] == [7, 5]
    assert found["get"] == "200 GET a=b "
    assert found["post"] == "200 POST  more"


def test_a_page_cannot_reach_the_daemons_api(found: dict[str, Any]) -> None:
    assert found["api"] == 404


def test_a_page_cannot_reach_another_plugins_pages(found: dict[str, Any], pages: Instance) -> None:
    assert found["fetch_other"] == "refused: TypeError"
    assert found["image_other"] == "refused"
    assert pages.call("e2e-other", tool="asked") == {"times": 0}


def test_a_page_cannot_load_from_or_tell_anything_to_another_site(
    found: dict[str, Any], elsewhere: Elsewhere
) -> None:
    assert found["fetch_elsewhere"] == "refused: TypeError"
    assert (found["image_elsewhere"], found["script_elsewhere"]) == ("refused", "refused")
    assert not {"/", "/image", "/script", "/beacon", "/window"} & set(elsewhere.asked)


def test_a_page_cannot_open_windows_or_install_a_service_worker(found: dict[str, Any]) -> None:
    assert found["window"] == "null"
    assert found["service_worker"].startswith("refused: ")


def test_a_page_sees_no_cookie_and_sets_none_for_others(found: dict[str, Any]) -> None:
    assert found["cookies"] == ""


def test_a_page_cannot_be_framed_even_by_who_has_its_key(
    pages: Instance, browser: Browser, elsewhere: Elsewhere
) -> None:
    elsewhere.framed = address(pages, "e2e-other")
    dom = browser.dom(f"{elsewhere.origin}/framing")

    assert "outside" in dom
    assert "/framing" in elsewhere.asked
    assert pages.call("e2e-other", tool="asked") == {"times": 0}


def test_the_other_plugins_page_is_there_for_who_has_its_key(
    pages: Instance, browser: Browser, tmp_path: Path
) -> None:
    before = pages.call("e2e-other", tool="asked")["times"]
    picture = browser.screenshot(address(pages, "e2e-other"), tmp_path / "page.png")

    assert picture.startswith(b"\x89PNG")
    assert pages.call("e2e-other", tool="asked")["times"] > before


def test_a_plugin_whose_manifest_grants_no_pages_has_no_address(pages: Instance) -> None:
    refused = pages.run("ui", "e2e-bare", expect=66)

    assert "not granted user_interface" in refused.stderr


def test_a_revoke_takes_the_pages_away_within_a_second_and_a_grant_brings_them_back(
    pages: Instance,
) -> None:
    with Visits(address(pages, "e2e-other")) as visits:
        eventually(lambda: visits.with_status(200))
        pages.run("permissions", "revoke", "e2e-other", "user_interface", "--reason", "it begs")
        returned = SystemClock().now()
        eventually(lambda: visits.with_status(404))
        lost = visits.with_status(200)[-1]
        refused = pages.run("ui", "e2e-other", expect=66)
        pages.run("permissions", "grant", "e2e-other", "user_interface")
        granted = SystemClock().now()
        eventually(lambda: [when for when in visits.with_status(200) if when > granted], seconds=60)

    assert lost - returned < BRAKE_SECONDS
    assert "not granted user_interface" in refused.stderr


def test_the_listener_is_on_loopback_only(pages: Instance) -> None:
    port = re.search(r":(\d+)/", address(pages, "e2e-pages"))
    assert port is not None
    wanted = f"{int(port[1]):04X}"
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    listening = {row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{wanted}")}

    assert listening <= {
        f"0100007F:{wanted}",
        f"00000000000000000000000001000000:{wanted}",
    }
    assert f"0100007F:{wanted}" in listening
