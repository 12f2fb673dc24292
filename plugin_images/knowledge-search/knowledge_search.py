"""The plugin: five tools over the index."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from knowledge_index import Document, IndexFull, KnowledgeIndex, WrongTokenizer
from orchestrator_sdk import (
    InputError,
    PluginContext,
    PluginError,
    PluginInterface,
    PluginStatus,
    tool,
)

_MIB = 1 << 20
_DEFAULT_DISK_MB = 50
_NEARLY_FULL = 0.9


class KnowledgeSearch(PluginInterface):
    """Keeps documents and finds them by their words."""

    def initialize(self, config: Mapping[str, Any], context: PluginContext) -> bool:
        """Open the index, or make it."""
        if context.data_dir is None:
            raise PluginError("file_system_write is not granted: the index has no place to lie")
        # The file system's own needs make the volume smaller than the limit says.
        limit = context.limits.get("max_disk_mb", _DEFAULT_DISK_MB) * _MIB
        volume_bytes = min(limit, shutil.disk_usage(context.data_dir).total)
        try:
            self._index = KnowledgeIndex(
                context.data_dir / "knowledge.sqlite3",
                volume_bytes=volume_bytes,
                tokenizer=config["tokenizer"],
            )
        except WrongTokenizer as error:
            raise InputError(f"tokenizer: {error}") from error
        return True

    def cleanup(self) -> bool:
        """Close the index, so that all of it lies in one file."""
        self._index.close()
        return True

    def get_status(self) -> PluginStatus:
        """Degraded when the index is nearly full."""
        stats = self._index.stats()
        metrics = {name: stats[name] for name in ("documents", "used_bytes", "capacity_bytes")}
        if stats["used_bytes"] > _NEARLY_FULL * stats["capacity_bytes"]:
            return PluginStatus("degraded", "the index is nearly full: delete documents", metrics)
        return PluginStatus("ready", "", metrics)

    @tool
    def add_document(
        self,
        title: str,
        text: str,
        id: str = "",  # noqa: A002 - the name in the tool's schema
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Add a document, or replace the one of that id."""
        size = len(text.encode("utf-8", "replace"))
        allowed = self.config["max_document_kb"] << 10
        if size > allowed:
            raise InputError(
                f"text of {size} bytes found, at most {allowed} expected: split the document", 413
            )
        document = Document(
            id=id, title=title, text=text, tags=tuple(tags), metadata=metadata or {}
        )
        try:
            document_id, new = self._index.add(document)
        except IndexFull as error:
            raise PluginError(str(error), 507, code="index_full") from error
        return {"id": document_id, "created": new}

    @tool
    def search(self, query: str, limit: int = 10, tags: Sequence[str] = ()) -> dict[str, Any]:
        """Documents with the query's words, the best first."""
        found = self._index.search(query, limit=min(limit, self.config["max_hits"]), tags=tags)
        return {**asdict(found), "count": len(found.hits)}

    @tool
    def get_document(self, id: str) -> dict[str, Any]:  # noqa: A002 - the name in the schema
        """A whole document."""
        document = self._index.get(id)
        if document is None:
            raise _missing(id)
        return document

    @tool
    def delete_document(self, id: str) -> dict[str, Any]:  # noqa: A002 - the name in the schema
        """Remove a document for good."""
        try:
            found = self._index.delete(id)
        except IndexFull as error:
            raise PluginError(
                "the volume is full, not even a deletion can be written: raise max_disk_mb",
                507,
                code="volume_full",
            ) from error
        if not found:
            raise _missing(id)
        return {"deleted": id}

    @tool
    def stats(self) -> dict[str, Any]:
        """How much the index holds and how much room is left."""
        return self._index.stats()


def _missing(document_id: str) -> PluginError:
    return PluginError(f"there is no document {document_id!r}", 404, code="document_not_found")
