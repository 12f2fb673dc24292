"""with_scalar: one value exchanged, and every other byte as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.parse import parse_tree
from orchestrator.model.problems import InvalidFile
from orchestrator.model.yaml_edit import with_scalar

PATH = ("spec", "source", "image")
NEW = "ghcr.io/acme/x:2@sha256:" + "0" * 64


def edited(text: str, new: str = NEW, file: str = "m.yaml") -> str:
    return with_scalar(text.encode(), file, PATH, new).decode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("image: x:1", f"image: {NEW}"),
        ("image:   x:1   # why", f"image:   {NEW}   # why"),
        ("image: 'x:1'", f"image: '{NEW}'"),
        ('image: "x:1" # why', f'image: "{NEW}" # why'),
        ('"image" : x:1', f'"image" : {NEW}'),
        ("image: >-\n      x:1\n    # more", f'image: "{NEW}"\n    # more'),
    ],
)
def test_quotes_comments_and_blanks_stay(old: str, new: str) -> None:
    around = "# head\r\nspec:\n  source:\n    # é\n    {}\n\n  config: {{a: [1,   2]}} # tail\n"

    if ">-" in old:
        assert parse_tree(edited(around.format(old)).encode(), "m.yaml").data
    else:
        assert edited(around.format(old)) == around.format(new)


def test_flow_style_json_and_a_byte_order_mark_stay() -> None:
    flow = "spec: {source: {image: x:1}}  # c\n"
    text = '{"spec":\n  {"source": {"image": "x:1"}, "a":   1}}\n'

    assert edited(flow) == flow.replace("x:1", NEW)
    assert edited(text, file="m.json") == text.replace("x:1", NEW)
    assert edited("\ufeff" + flow) == "\ufeff" + flow.replace("x:1", NEW)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(TEXT, st.sampled_from(["x", "'x'", '"x"']))
def test_whatever_the_text_is_it_is_read_back(new: str, old: str) -> None:
    text = f"spec:\n  source: {{image: {old}, build: keep}}\n  last: 1\n"
    data = parse_tree(edited(text, new).encode(), "m.yaml").data

    assert data == {"spec": {"source": {"image": new, "build": "keep"}, "last": 1}}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("spec: {source: {build: x}}", "m.yaml:1: spec.source.image: found no text"),
        ("spec: {source: {image: 1}}", "m.yaml:1: spec.source.image: found no text"),
        ("spec: [1]", "m.yaml:1: spec.source.image: found no text"),
        ("a: &b 1", "found the anchor"),
    ],
)
def test_what_has_no_text_there_is_refused(text: str, found: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        edited(text)

    assert found in str(caught.value)


def test_json_with_tabs_is_refused_and_not_spoiled() -> None:
    with pytest.raises(InvalidFile, match="JSON without tabs"):
        edited('{\t"spec":\t{"source": {"image":\t"x"}}}', file="m.json")
