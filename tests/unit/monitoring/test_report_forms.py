"""The report as text, HTML and Markdown: all of it is there, and no plugin gets out of its cell."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from orchestrator.monitoring import report_words as words
from orchestrator.monitoring.charts import Series, bars, decades, escaped, lines, nice
from orchestrator.monitoring.report_html import html_report
from orchestrator.monitoring.report_markdown import markdown_report, safe
from orchestrator.monitoring.report_sections import IN_JSON, RESOURCES, Section
from orchestrator.monitoring.report_style import STYLE
from orchestrator.monitoring.report_text import WIDTH, bar, spark, text_report
from tests.unit.monitoring.showcase import sample_report
from tests.unit.pages import section


@pytest.fixture(scope="module", params=["day", "hostile", "empty"])
def told(request: pytest.FixtureRequest) -> dict[str, Any]:
    return sample_report(hostile=request.param == "hostile", empty=request.param == "empty")


class _Seen(HTMLParser):
    """Every element and attribute, as a browser would see them."""

    VOID = frozenset({"meta", "br", "img", "rect", "line", "circle", "polyline", "polygon"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.crossed: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)


OUR_TAGS = set(
    re.findall(
        r"\S+",
        """html head meta title style body main header section h1 h2 p div span b small i ul li
        table thead tbody tr th td svg g rect line text polyline polygon circle""",
    )
)
OUR_ATTRIBUTES = set(
    re.findall(
        r"\S+",
        """lang charset http-equiv content name class role aria-label aria-hidden viewbox
        preserveaspectratio x y x1 x2 y1 y2 cx cy r rx width height points text-anchor""",
    )
)


def test_nothing_of_a_plugins_becomes_an_element_or_an_attribute(told: dict[str, Any]) -> None:
    seen = _Seen(html_report(told))

    assert seen.tags <= OUR_TAGS
    assert seen.attributes <= OUR_ATTRIBUTES
    assert (seen.open, seen.crossed) == ([], [])


def test_the_page_is_one_file_and_runs_nothing(told: dict[str, Any]) -> None:
    page = html_report(told)

    assert "default-src &#x27;none&#x27;" in page
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|<script|javascript:", page)
    assert "prefers-color-scheme:dark" in page


def test_a_hostile_word_is_shown_as_the_word_that_it_is() -> None:
    page = html_report(sample_report(hostile=True))

    assert "&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in page


def test_the_style_names_every_class_that_the_page_uses() -> None:
    used = set(re.findall(r'class="([\w ]+)"', html_report(sample_report())))
    names = {name for classes in used for name in classes.split()}

    own = {"l", "r", "tile", "tiles", "card", "pair", "scroll", "todos"}
    assert {name for name in names if f".{name}" not in STYLE} == set()
    assert own <= names


def test_the_page_shows_every_plugin_and_every_section() -> None:
    page = html_report(sample_report())

    for name in ("knowledge-search", "data-pipeline", "secret-scanner", "mail-relay", "calendar"):
        assert f"<b>{name}</b>" in page
    titles = re.findall(r"<h2>([^<]+)</h2>", page)
    charts = ["Calls", "Time of calls"]
    assert titles[7:] == [Section.WORTH_DOING, *charts, *[*Section][1:]]


FORMS = {
    "text": (text_report, r"^([A-Z][a-z ]+)$"),
    "markdown": (markdown_report, r"^## (.+)$"),
    "html": (html_report, r'<section class="card"><h2>([^<]+)</h2>'),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_every_section_in_the_same_order(form: str) -> None:
    make, heading = FORMS[form]
    found = re.findall(heading, make(sample_report()), re.MULTILINE)

    assert [title for title in found if title in [*Section]] == [*Section]


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_a_section_with_nothing_in_it_is_left_out(form: str) -> None:
    make, heading = FORMS[form]

    assert re.findall(heading, make(sample_report(empty=True)), re.MULTILINE) == []


@pytest.mark.parametrize("one", Section)
def test_programs_are_told_every_section_too(one: Section) -> None:
    told: Any = sample_report()
    for key in IN_JSON[one]:
        told = told[key]

    assert told


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [name for _, name, _ in RESOURCES])
def test_every_form_tells_the_use_of_every_limit(form: str, name: str) -> None:
    make, _ = FORMS[form]
    text = make(sample_report())
    start = text.index(Section.LIMITS)

    told = text[start : text.index(Section.BUSIEST_TOOLS, start)]
    assert name.lower() in told.lower()


def test_the_page_of_analytics_names_every_section() -> None:
    page = section("docs/analytics.md", "The report")

    assert re.findall(r"^- \*\*(.+?)\*\*", page, re.MULTILINE) == [*Section]


def test_the_text_fits_a_terminal_and_drives_none(told: dict[str, Any]) -> None:
    text = text_report(told)

    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert [c for c in text if not c.isprintable() and c != "\n"] == []


def test_colours_are_put_on_words_and_change_none_of_them() -> None:
    plain = sample_report()

    painted = text_report(plain, lambda style, text: f"<{style}>{text}</{style}>")

    assert re.sub(r"</?(?:title|head|dim|good|warn|bad)>", "", painted) == text_report(plain)
    assert "<bad>✖</bad>" in painted


def test_markdown_of_a_plugins_words_is_none() -> None:
    assert safe("@everyone [x](http://a) `b` | <i>") == (
        "@\N{ZERO WIDTH NON-JOINER}everyone \\[x\\]\\(http\\:\\/\\/a\\) \\`b\\` \\| \\<i\\>"
    )
    text = markdown_report(sample_report(hostile=True))
    assert "<script>" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3, 4, 5, 6, 7, 9}


def test_markdown_has_what_is_worth_doing() -> None:
    text = markdown_report(sample_report())

    assert "- **mail\\-relay**: it does not run" in text
    assert text.startswith("# Plugins of default, 24h\n")


# -- pieces -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.0, "0 s"), (0.00064, "640 µs"), (0.0123, "12.3 ms"), (1.944, "1.94 s")],
)
def test_seconds_are_shown_in_three_digits(value: float | None, shown: str) -> None:
    assert words.seconds(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (1.0, "100 %"), (0.0, "0 %"), (0.99999, "99.99 %"), (1e-9, "0.01 %")],
)
def test_no_share_is_rounded_to_all_or_nothing(value: float | None, shown: str) -> None:
    assert words.percent(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (5.0, "5 B"), (247_463_936.0, "236 MiB"), (1 << 30, "1.00 GiB")],
)
def test_sizes_are_shown_in_binary_units(value: float | None, shown: str) -> None:
    assert words.size(value) == shown


def test_numbers_are_grouped() -> None:
    assert [words.number(value) for value in (None, 0, 3.25, 74_641, 51.8)] == [
        "-",
        "0",
        "3.2",
        "74,641",
        "52",
    ]


def test_what_is_no_letter_is_shown_as_such() -> None:
    assert words.plain("a\x1b[31m\u202eb\n") == "a�[31m�b�"
    assert escaped('<a "b">\x00') == "&lt;a &quot;b&quot;&gt;�"


def test_a_bar_and_a_line_of_blocks_say_how_much() -> None:
    assert (bar(0.5, 4), bar(9.0, 4), bar(-1.0, 4)) == ("██░░", "████", "░░░░")
    assert spark([0, 1, None, 8, 4]) == " ▁ █▄"
    assert spark([]) == ""


def test_a_scale_ends_at_a_round_number() -> None:
    assert [nice(value) for value in (0, 3, 5_630, 10, 0.07)] == [
        1,
        5,
        10_000,
        10,
        pytest.approx(0.1),
    ]
    assert decades([0.012, 0.6]) == [0.01, 0.1, 1.0]
    assert decades([]) == [0.001, 1.0]
    assert len(decades([1e-6, 1e6])) <= 6


def test_a_gap_in_a_line_is_a_gap_and_a_lone_point_a_dot() -> None:
    chart = lines(
        [Series(name="p95", style="two", values=[1.0, 2.0, None, 3.0])], ["a", "b", "c", "d"], str
    )

    assert chart.count("<polyline") == 1
    assert chart.count("<circle") == 1


def test_bars_lie_on_top_of_each_other() -> None:
    layers = [
        Series(name="well", style="one", values=[50.0]),
        Series(name="failed", style="bad", values=[50.0]),
    ]
    chart = bars(layers, ["00:00"], words.number)

    found = dict(re.findall(r'class="(one|bad)" x="[\d.]+" (y="[\d.]+" .*?height="[\d.]+")', chart))
    well, bad = (re.findall(r"[\d.]+", found[name]) for name in ("one", "bad"))
    assert float(bad[0]) + float(bad[-1]) == pytest.approx(float(well[0]))
    assert "00:00 · well 50 · failed 50" in chart
