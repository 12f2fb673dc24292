"""The index: documents in SQLite, their words in an FTS5 table that follows by triggers.

One connection for each thread, write-ahead logging: searches do not wait for writers. Additions may
grow the file to half the volume. Deletions may go a little beyond it, because FTS5 notes a deletion
before it frees anything. What is left is for the log, without which nothing could be written.
"""

import json
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowledge_query import clean, expression, terms

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    tags TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
);
CREATE TABLE IF NOT EXISTS document_tags (
    number INTEGER NOT NULL REFERENCES documents(number) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    PRIMARY KEY (tag, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS document_tags_by_number ON document_tags(number);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
    title, text, content='documents', content_rowid='number', tokenize='{tokenizer}'
);
CREATE TRIGGER IF NOT EXISTS words_in AFTER INSERT ON documents BEGIN
    INSERT INTO words(rowid, title, text) VALUES (new.number, new.title, new.text);
END;
CREATE TRIGGER IF NOT EXISTS words_out AFTER DELETE ON documents BEGIN
    INSERT INTO words(words, rowid, title, text)
    VALUES ('delete', old.number, old.title, old.text);
END;
CREATE TRIGGER IF NOT EXISTS words_changed AFTER UPDATE OF title, text ON documents BEGIN
    INSERT INTO words(words, rowid, title, text)
    VALUES ('delete', old.number, old.title, old.text);
    INSERT INTO words(rowid, title, text) VALUES (new.number, new.title, new.text);
END;
"""
TOKENIZERS = {
    "words": "unicode61 remove_diacritics 2",
    "english": "porter unicode61 remove_diacritics 2",
}
_SEARCH = """
SELECT d.id, d.title, d.tags, -bm25(words, 5.0, 1.0) AS score,
       snippet(words, -1, '**', '**', '…', 24) AS snippet
FROM words JOIN documents d ON d.number = words.rowid
WHERE words MATCH ?{tagged}
ORDER BY score DESC, d.number LIMIT ?
"""
"""A word in the title (5.0) tells more about a document than one in its text (1.0)."""
_TAGGED = """
  AND (SELECT count(*) FROM document_tags t WHERE t.number = words.rowid AND t.tag IN ({marks})) = ?
"""
_ADDING_SHARE, _DELETING_SHARE, _LOG_SHARE = 0.5, 0.6, 0.05
"""Of the volume: the file's bounds, and the log's length from which it is folded into the file.

The log also holds the last transaction, which may be some hundred pages when FTS5 merges.
"""
_BUSY_SECONDS = 10.0
_MAX_LOG_PAGES = 256
_PAGE_BYTES = 4_096


class IndexFull(Exception):
    """No room is left for the document; deleting some makes room."""


class WrongTokenizer(Exception):
    """The index was made with another tokenizer; its words would not be found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    id: str
    title: str
    text: str
    tags: tuple[str, ...]
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    id: str
    title: str
    snippet: str
    score: float
    tags: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    hits: list[Hit]
    matched: str
    """`all` when every hit has every term, `any` when no document had them all."""


class KnowledgeIndex:
    """Open it once; every method may be called from any thread."""

    def __init__(self, file: Path, *, volume_bytes: int, tokenizer: str = "words") -> None:
        """Raises WrongTokenizer, and IndexFull when not even the tables fit."""
        self._file = file
        volume_pages = volume_bytes // _PAGE_BYTES
        self._max_pages = int(volume_pages * _ADDING_SHARE)
        self._max_pages_deleting = int(volume_pages * _DELETING_SHARE)
        self._log_pages = max(8, min(_MAX_LOG_PAGES, int(volume_pages * _LOG_SHARE)))
        self._own = threading.local()
        self._opened: list[sqlite3.Connection] = []
        # SQLite allows one writer; waiting here is fair, waiting in SQLite is polling.
        self._writing = threading.Lock()
        self._make(tokenizer)

    def add(self, document: Document) -> tuple[str, bool]:
        """Add or replace by id; (the id, whether it was new). Raises IndexFull."""
        document_id = document.id or uuid.uuid4().hex
        values = {
            "id": clean(document_id),
            "title": clean(document.title),
            "text": clean(document.text),
            "tags": json.dumps(sorted({clean(tag) for tag in document.tags})),
            "metadata": json.dumps(document.metadata),
        }
        with self._write() as connection:
            new = _number(connection, values["id"]) is None
            connection.execute(
                "INSERT INTO documents(id, title, text, tags, metadata)"
                " VALUES (:id, :title, :text, :tags, :metadata)"
                " ON CONFLICT(id) DO UPDATE SET title = :title, text = :text, tags = :tags,"
                " metadata = :metadata, updated_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now')",
                values,
            )
            number = _number(connection, values["id"])
            connection.execute("DELETE FROM document_tags WHERE number = ?", (number,))
            connection.executemany(
                "INSERT INTO document_tags(number, tag) VALUES (?, ?)",
                [(number, tag) for tag in json.loads(values["tags"])],
            )
        return values["id"], new

    def search(self, query: str, *, limit: int, tags: Sequence[str] = ()) -> Hits:
        """The best hits first; documents with every term, or else those with any of them."""
        parts = terms(query)
        for operator, matched in (("AND", "all"), ("OR", "any")):
            hits = self._hits(expression(parts, operator), limit, tags) if parts else []
            if hits or len(parts) <= 1:
                return Hits(hits=hits, matched=matched if hits else "none")
        return Hits(hits=[], matched="none")

    def get(self, document_id: str) -> dict[str, Any] | None:
        """The whole document, or None."""
        row = (
            self._connection()
            .execute(
                "SELECT id, title, text, tags, metadata, created_at, updated_at"
                " FROM documents WHERE id = ?",
                (clean(document_id),),
            )
            .fetchone()
        )
        if row is None:
            return None
        return {**row, "tags": json.loads(row["tags"]), "metadata": json.loads(row["metadata"])}

    def delete(self, document_id: str) -> bool:
        """Whether there was such a document."""
        with self._write(max_pages=self._max_pages_deleting) as connection:
            found = connection.execute("DELETE FROM documents WHERE id = ?", (clean(document_id),))
            return found.rowcount > 0

    def stats(self) -> dict[str, Any]:
        """How much is in it, how much room is left, and the most used tags."""
        connection = self._connection()
        documents, characters = (
            connection.execute(
                "SELECT count(*) AS documents, coalesce(sum(length(text)), 0) AS characters"
                " FROM documents"
            )
            .fetchone()
            .values()
        )
        tags = connection.execute(
            "SELECT tag, count(*) AS documents FROM document_tags"
            " GROUP BY tag ORDER BY 2 DESC, 1 LIMIT 50"
        ).fetchall()
        pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
        return {
            "documents": documents,
            "characters": characters,
            "used_bytes": pages * _PAGE_BYTES,
            "capacity_bytes": self._max_pages * _PAGE_BYTES,
            "tags": {row["tag"]: row["documents"] for row in tags},
        }

    def close(self) -> None:
        """Fold the log into the file and close every thread's connection."""
        with self._writing:
            for connection in self._opened:
                connection.close()
            self._opened.clear()
            self._own = threading.local()

    def _hits(self, match: str, limit: int, tags: Sequence[str]) -> list[Hit]:
        wanted = sorted({clean(tag) for tag in tags})
        marks = ", ".join("?" * len(wanted))
        sql = _SEARCH.format(tagged=_TAGGED.format(marks=marks) if wanted else "")
        carried = (*wanted, len(wanted)) if wanted else ()
        rows = self._connection().execute(sql, (match, *carried, limit))
        return [
            Hit(
                id=row["id"],
                title=row["title"],
                snippet=row["snippet"],
                score=round(row["score"], 6),
                tags=json.loads(row["tags"]),
            )
            for row in rows
        ]

    def _make(self, tokenizer: str) -> None:
        with self._write() as connection:
            for statement in _statements(_SCHEMA.format(tokenizer=TOKENIZERS[tokenizer])):
                connection.execute(statement)
            row = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'words'")
            if f"'{TOKENIZERS[tokenizer]}'" not in row.fetchone()["sql"]:
                raise WrongTokenizer(
                    f"the index was not made with the tokenizer {tokenizer!r}: set the one that"
                    " it was made with, or remove the plugin's data and add the documents again"
                )

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            # Only `close` touches another thread's connection.
            connection = sqlite3.connect(
                self._file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            connection.row_factory = _as_dict
            for pragma in (
                f"page_size = {_PAGE_BYTES}",
                "journal_mode = WAL",
                "synchronous = NORMAL",
                "foreign_keys = ON",
                # A temporary file would need room elsewhere.
                "temp_store = MEMORY",
                f"wal_autocheckpoint = {self._log_pages}",
                f"journal_size_limit = {self._log_pages * _PAGE_BYTES}",
            ):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            self._own.connection = connection
            self._opened.append(connection)
        return connection

    @contextmanager
    def _write(self, *, max_pages: int = 0) -> Iterator[sqlite3.Connection]:
        with self._writing:
            connection = self._connection()
            pages = max_pages or self._max_pages
            connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
            try:
                with _transaction(connection):
                    yield connection
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
                # Gives the log's room back, so that a deletion can be written next.
                with suppress(sqlite3.OperationalError):
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                raise IndexFull("the index is full: delete documents to make room") from error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors, of a full disk for one.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _number(connection: sqlite3.Connection, document_id: str) -> int | None:
    with closing(connection.cursor()) as cursor:
        row = cursor.execute("SELECT number FROM documents WHERE id = ?", (document_id,)).fetchone()
    return None if row is None else int(row["number"])


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[name])


def _statements(script: str) -> Iterator[str]:
    """One by one, because `executescript` would end the transaction that they belong in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
