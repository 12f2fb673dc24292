"""What is typed becomes terms, and no text whatsoever becomes an FTS5 syntax error."""

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from knowledge_query import MAX_TERMS, clean, expression, terms


@pytest.fixture(scope="module")
def words() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(title, text)")
    connection.execute("INSERT INTO words VALUES ('one', 'the e-mail of AND')")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("red fox", ["red", "fox"]),
        ('a "red fox" runs', ["a", "red fox", "runs"]),
        ('"unclosed phrase', ["unclosed", "phrase"]),
        ("fox*", ["fox*"]),
        ('"red fox*"', ["red fox"]),
        ("fox fox", ["fox"]),
        ("AND OR NOT NEAR(a b)", ["AND", "OR", "NOT", "NEAR(a", "b)"]),
        ("title:fox -cat ^dog {a b}: +x", ["title:fox", "-cat", "^dog", "{a", "b}:", "+x"]),
        ("* ** !!! -- ()", []),
        ('""', []),
        ("", []),
        ("日本語 ünïcode", ["日本語", "ünïcode"]),
        ("a\0b", ["a", "b"]),
    ],
)
def test_words_and_phrases_are_taken_and_signs_are_not(query: str, expected: list[str]) -> None:
    assert terms(query) == expected


def test_a_term_is_a_quoted_string_whose_star_stays_outside() -> None:
    built = expression(["red fox", "run*", 'say "x"'], "AND")

    assert built == '"red fox" AND "run" * AND "say ""x"""'


def test_a_query_has_a_bounded_number_of_terms() -> None:
    assert len(terms(" ".join(f"w{index}" for index in range(500)))) == MAX_TERMS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(st.text(max_size=60) | st.text(alphabet="\"*()-+^:{}.,' aANDORNEAR\0\ud800", max_size=40))
@example('"')
@example('a"*')
@example("\ud800 x")
def test_no_text_is_a_syntax_error(words: sqlite3.Connection, query: str) -> None:
    parts = terms(query)
    for operator in ("AND", "OR"):
        if parts:
            match = expression(parts, operator)
            words.execute("SELECT * FROM words WHERE words MATCH ?", (match,)).fetchall()

    assert all(clean(part) == part for part in parts)
