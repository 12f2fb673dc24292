"""The index: ranking, phrases, tags, threads, and what it does when there is no room."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from knowledge_index import Document, IndexFull, KnowledgeIndex, WrongTokenizer

ROOM = 8 << 20


@pytest.fixture
def index(tmp_path: Path) -> Iterator[KnowledgeIndex]:
    opened = KnowledgeIndex(tmp_path / "k.sqlite3", volume_bytes=ROOM)
    yield opened
    opened.close()


def document(text: str, *, id: str = "", title: str = "Untitled", **more: Any) -> Document:  # noqa: A002
    return Document(id=id, title=title, text=text, **{"tags": (), "metadata": {}, **more})


def ids(index: KnowledgeIndex, query: str, **more: Any) -> list[str]:
    return [hit.id for hit in index.search(query, **{"limit": 10, **more}).hits]


def test_a_document_is_found_by_its_words_and_read_back_whole(index: KnowledgeIndex) -> None:
    given_id, new = index.add(
        document(
            "The quick brown fox", id="fox", title="Animals", tags=("b", "a"), metadata={"n": 1}
        )
    )
    [hit] = index.search("quick FOX", limit=5).hits
    whole = index.get("fox")

    assert (given_id, new) == ("fox", True)
    assert (hit.id, hit.title, hit.tags) == ("fox", "Animals", ["a", "b"])
    assert hit.snippet == "The **quick** brown **fox**"
    assert hit.score > 0
    assert whole is not None
    assert (whole["text"], whole["metadata"]) == ("The quick brown fox", {"n": 1})


def test_a_title_weighs_more_than_text_and_more_words_more_than_fewer(
    index: KnowledgeIndex,
) -> None:
    index.add(document("fox " + "filler " * 50, id="text"))
    index.add(document("fox fox fox fox " + "filler " * 47, id="often"))
    index.add(document("filler " * 51, id="title", title="fox"))
    index.add(document("nothing", id="none"))
    found = index.search("fox", limit=10)

    assert [hit.id for hit in found.hits] == ["title", "often", "text"]
    assert [hit.score for hit in found.hits] == sorted((h.score for h in found.hits), reverse=True)


def test_a_phrase_must_stand_together(index: KnowledgeIndex) -> None:
    index.add(document("the red fox", id="together"))
    index.add(document("a fox, red as fire", id="apart"))

    assert ids(index, '"red fox"') == ["together"]
    assert sorted(ids(index, "red fox")) == ["apart", "together"]


def test_all_terms_are_wanted_first_and_any_only_if_no_document_has_all(
    index: KnowledgeIndex,
) -> None:
    index.add(document("alpha beta", id="both"))
    index.add(document("alpha", id="one"))
    both, either, neither = (
        index.search(query, limit=10) for query in ("alpha beta", "alpha gamma", "delta gamma")
    )

    assert (both.matched, [hit.id for hit in both.hits]) == ("all", ["both"])
    assert (either.matched, sorted(hit.id for hit in either.hits)) == ("any", ["both", "one"])
    assert (neither.matched, neither.hits) == ("none", [])


@pytest.mark.parametrize(
    ("tags", "expected"),
    [((), ["ab", "a", "none"]), (("a",), ["ab", "a"]), (("a", "b"), ["ab"]), (("c",), [])],
)
def test_tags_narrow_to_documents_that_carry_all_of_them(
    index: KnowledgeIndex, tags: tuple[str, ...], expected: list[str]
) -> None:
    for name, carried in (("ab", ("a", "b")), ("a", ("a",)), ("none", ())):
        index.add(document("same words", id=name, tags=carried))

    assert ids(index, "words", tags=tags) == expected


def test_accents_and_case_do_not_matter_and_a_star_begins_words(index: KnowledgeIndex) -> None:
    index.add(document("Crème brûlée for everybody", id="dessert"))

    assert ids(index, "CREME BRULEE") == ids(index, "every*") == ["dessert"]
    assert ids(index, "every") == []


def test_the_english_tokenizer_finds_by_the_stem_and_cannot_be_changed_later(
    tmp_path: Path,
) -> None:
    file = tmp_path / "e.sqlite3"
    english = KnowledgeIndex(file, volume_bytes=ROOM, tokenizer="english")
    english.add(document("running quickly", id="run"))
    found = ids(english, "runs quick")
    english.close()
    with pytest.raises(WrongTokenizer, match="not made with the tokenizer 'words'"):
        KnowledgeIndex(file, volume_bytes=ROOM, tokenizer="words")

    assert found == ["run"]


def test_adding_the_same_id_replaces_words_tags_and_metadata(index: KnowledgeIndex) -> None:
    index.add(document("old words", id="x", tags=("old",), metadata={"v": 1}))
    again = index.add(document("new text", id="x", tags=("new",), metadata={"v": 2}))
    whole = index.get("x")

    assert again == ("x", False)
    assert ids(index, "old") == ids(index, "text", tags=["old"]) == []
    assert ids(index, "text", tags=["new"]) == ["x"]
    assert whole is not None
    assert whole["metadata"] == {"v": 2}
    assert index.stats()["documents"] == 1


def test_a_deleted_document_is_gone_with_its_words_and_tags(index: KnowledgeIndex) -> None:
    index.add(document("some words", id="x", tags=("t",)))

    assert index.delete("x")
    assert not index.delete("x")
    assert index.get("x") is None
    assert ids(index, "words") == []
    assert index.stats()["tags"] == {}


def test_documents_without_an_id_get_different_ones(index: KnowledgeIndex) -> None:
    made = {index.add(document("text"))[0] for _ in range(5)}

    assert len(made) == 5


def test_what_was_added_is_there_after_reopening(tmp_path: Path) -> None:
    file = tmp_path / "k.sqlite3"
    first = KnowledgeIndex(file, volume_bytes=ROOM)
    first.add(document("lasting words", id="x"))
    first.close()
    second = KnowledgeIndex(file, volume_bytes=ROOM)
    found = ids(second, "lasting")
    second.close()

    assert found == ["x"]
    assert [path.name for path in tmp_path.iterdir()] == ["k.sqlite3"]


def test_a_full_index_says_so_keeps_working_and_takes_documents_again_after_deleting(
    tmp_path: Path,
) -> None:
    index = KnowledgeIndex(tmp_path / "k.sqlite3", volume_bytes=4 << 20)
    added, refusal = 0, ""
    while not refusal and added < 1_000:
        try:
            index.add(document(f"word{added} " + "filler " * 2_000, id=f"d{added}"))
            added += 1
        except IndexFull as error:
            refusal = str(error)
    file_bytes = (tmp_path / "k.sqlite3").stat().st_size
    found = ids(index, f"word{added - 1}")
    absent = index.get(f"d{added}")
    deleted = [index.delete(f"d{number}") for number in range(added)]
    again = index.add(document("filler " * 2_000, id="again"))
    index.close()

    assert refusal == "the index is full: delete documents to make room"
    assert added > 10
    assert file_bytes <= 2 << 20
    assert found == [f"d{added - 1}"]
    assert absent is None
    assert deleted == [True] * added
    assert again == ("again", True)


def test_another_fault_of_sqlite_is_not_taken_for_a_full_index(tmp_path: Path) -> None:
    index = KnowledgeIndex(tmp_path / "k.sqlite3", volume_bytes=ROOM)
    with sqlite3.connect(tmp_path / "k.sqlite3") as other:
        other.execute("DROP TABLE document_tags")
    other.close()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        index.add(document("text", id="x", tags=("t",)))

    assert index.get("x") is None
    index.close()


def test_many_threads_write_and_search_at_the_same_time(index: KnowledgeIndex) -> None:
    begin = threading.Barrier(8)

    def work(worker: int) -> int:
        begin.wait()
        for turn in range(10):
            index.add(document(f"common word{worker}x{turn}", id=f"{worker}-{turn}"))
            assert ids(index, f"word{worker}x{turn}") == [f"{worker}-{turn}"]
        return len(index.search("common", limit=1_000).hits)

    with ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(work, range(8)))

    assert max(counts) == index.stats()["documents"] == 80


def test_a_search_neither_waits_for_a_writer_nor_sees_what_is_not_committed(
    index: KnowledgeIndex,
) -> None:
    index.add(document("shared words", id="before"))
    with index._write() as connection, ThreadPoolExecutor(1) as thread:
        connection.execute(
            "INSERT INTO documents(id, title, text, tags, metadata)"
            " VALUES ('during', '', 'shared words', '[]', '{}')"
        )
        seen = thread.submit(ids, index, "words").result(timeout=5)

    assert seen == ["before"]
    assert sorted(ids(index, "words")) == ["before", "during"]


_texts = st.text(max_size=40)


@settings(max_examples=40)
@given(texts=st.lists(_texts, min_size=1, max_size=6), query=_texts)
def test_any_text_can_be_kept_searched_and_deleted(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], query: str
) -> None:
    index = KnowledgeIndex(tmp_path_factory.mktemp("k") / "k.sqlite3", volume_bytes=ROOM)
    made = [index.add(document(text, title=text, tags=(text,)))[0] for text in texts]
    index.search(query, limit=5, tags=[query])
    for text in texts:
        index.search(text, limit=5)
    deleted = [index.delete(made_id) for made_id in made]
    left = index.stats()["documents"]
    index.close()

    assert deleted == [True] * len(texts)
    assert left == 0
