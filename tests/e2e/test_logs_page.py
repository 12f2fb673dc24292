"""A plugin's log in a real browser: what it shows, to whom, and what a plugin can do to it."""

import json
import re
from contextlib import closing
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from urllib.request import urlopen

import pytest

from orchestrator.client.reach import reach
from orchestrator.clock import SystemClock
from tests.support.browser import Browser, LivePage
from tests.support.instance import Instance, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

PLUGIN = "e2e-loud"
LOUD = """
import logging

from orchestrator_sdk import PluginInterface, tool


class Plugin(PluginInterface):
    @tool
    def say(self, words: str):
        print(words, flush=True)
        return {}

    @tool
    def warn(self, words: str):
        logging.getLogger("loud").warning(words)
        return {}
"""
HOSTILE = "<img src=x onerror='document.title=\"owned\"'><script>document.title='owned'</script>"
TURNED = "harmless \u202egnp.exe \x1b[2J end"
ROW = re.compile(
    r'<div class="row (\w*)"><time[^>]*>[^<]*</time><span class="level">([^<]*)</span>'
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return Browser.installed(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="module")
def loud(shared_instance: Instance, shared_workshop: Workshop) -> Instance:
    tools = [{"name": name, "description": "Writes."} for name in ("say", "warn")]
    shared_workshop.script(PLUGIN, LOUD, info={"tools": tools})
    shared_instance.policy(ui={"port": 0})
    shared_instance.up("--config", str(shared_instance.config))
    for words in ("first words", HOSTILE, TURNED):
        shared_instance.call(PLUGIN, {"words": words}, tool="say")
    shared_instance.call(PLUGIN, {"words": f"beware of {HOSTILE}"}, tool="warn")
    eventually(lambda: "beware" in shared_instance.run("logs", PLUGIN).stdout)
    return shared_instance


@pytest.fixture(scope="module")
def page(loud: Instance) -> str:
    """The address, with its key."""
    return loud.run("logs", PLUGIN, "--web").stdout.strip()


@pytest.fixture(scope="module")
def seen(page: str, browser: Browser) -> str:
    """The page's document; from then on the browser has the key."""
    return browser.dom(page)


def test_what_the_plugin_wrote_is_there_as_text_and_as_nothing_else(seen: str) -> None:
    words = unescape(re.sub(r"<[^>]*>", "", seen))

    assert f"<title>{PLUGIN} · log</title>" in seen
    assert "first words" in words
    assert words.count(HOSTILE) == 2
    assert "<img" not in seen
    assert seen.count("<script") == 1
    assert "harmless \ufffdgnp.exe \ufffd[2J end" in words


def test_a_line_of_json_shows_its_level_and_the_ids_of_its_call(seen: str) -> None:
    assert ("warn", "warning") in ROW.findall(seen)
    assert re.search(r'request_id=<button[^>]*title="Only lines of this call">[^<]+<', seen)


def test_without_a_key_the_page_says_how_to_get_one(
    page: str, tmp_path: Path, loud: Instance
) -> None:
    bare = Browser(tmp_path / "bare").dom(page.partition("#")[0])
    wrong = Browser(tmp_path / "wrong").dom(page[:-1] + ("0" if page[-1] != "0" else "1"))

    for dom in (bare, wrong):
        assert f"orchestrator logs {PLUGIN} --web" in dom
        assert "first words" not in dom
    assert "has none yet" in bare
    assert "does not fit" in wrong


@pytest.mark.usefixtures("seen")
def test_the_boards_link_shows_that_time_to_who_has_the_key(page: str, browser: Browser) -> None:
    now_ms = int(SystemClock().now() * 1000)
    link = page.partition("#")[0]
    then = browser.dom(f"{link}?from={now_ms - 3_600_000}&to={now_ms}")
    before = browser.dom(f"{link}?from={now_ms - 7_200_000}&to={now_ms - 3_600_000}")

    assert "first words" in then
    assert "first words" not in before
    assert "No line was written in this time." in before


@pytest.mark.usefixtures("seen")
def test_a_filter_in_the_address_is_heeded(page: str, browser: Browser) -> None:
    dom = browser.dom(f"{page.partition('#')[0]}?call=beware")

    assert "beware of" in dom
    assert "first words" not in dom


def test_new_lines_come_while_it_follows_and_a_click_leaves_those_of_a_call(
    loud: Instance, page: str, tmp_path: Path
) -> None:
    with LivePage(page, tmp_path / "live") as live:
        text = "document.getElementById('lines')?.innerText ?? ''"
        eventually(lambda: "first words" in (live.js(text) or ""))
        live.js("document.getElementById('follow').click()")
        loud.call(PLUGIN, {"words": "news"}, tool="warn")
        eventually(lambda: "news" in live.js(text))
        state = live.js("document.getElementById('state').textContent")
        live.js("[...document.querySelectorAll('.pairs button')].at(-1).click()")
        chosen = live.js(text)
        shown = live.js("document.querySelectorAll('.row').length")
        live.js("document.getElementById('words').value = ''")
        live.js("document.getElementById('errors').click()")
        worst = live.js("document.querySelectorAll('.row:not(.warn):not(.bad)').length")

    assert state.endswith(", following")
    assert "news" in chosen
    assert shown == 1
    assert worst == 0


def test_metrics_tell_boards_where_the_logs_are(loud: Instance, page: str) -> None:
    origin = page.partition("/plugins/")[0]
    path = loud.home / loud.name / "daemon.sock"
    connection = HTTPConnection("orchestrator")
    connection.sock = reach(path, 30)
    with closing(connection):
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()

    assert f'orchestrator_logs_page_info{{address="{origin}"}} 1' in text


def test_the_address_as_json_and_a_plugin_that_is_not_there(loud: Instance, page: str) -> None:
    told = json.loads(loud.run("logs", PLUGIN, "--web", "--json").stdout)
    refused = loud.run("logs", "nobody", "--web", expect=66)

    assert told == {"url": page}
    assert "nobody" in refused.stderr


def test_other_hosts_names_lead_to_no_log(page: str) -> None:
    port = page.rpartition(":")[2].partition("/")[0]
    with pytest.raises(OSError, match=r"403|404"):
        urlopen(f"http://localhost:{port}/plugins/{PLUGIN}/logs", timeout=10)
