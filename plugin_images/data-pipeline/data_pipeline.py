"""The plugin: SQL over files and rows, results in the answer or kept under /data."""

import contextvars
import errno
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar

from data_pipeline_engine import (
    Bounds,
    DiskFull,
    Engine,
    OutOfMemory,
    QueryFailed,
    QueryStopped,
)
from data_pipeline_inputs import (
    FORMATS,
    Folders,
    InputMissing,
    InputRefused,
    Source,
    find_output,
)
from orchestrator_sdk import (
    InputError,
    PluginContext,
    PluginError,
    PluginInterface,
    PluginStatus,
    tool,
)

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
_MARGIN_SECONDS = 1.0
"""Left of a call's deadline to stop the query and to answer."""
_MIB = 1 << 20

Inputs = Mapping[str, Mapping[str, Any]]


class DataPipeline(PluginInterface):
    """Queries and transforms CSV, JSON and Parquet with DuckDB."""

    shares_root: ClassVar[Path] = Path("/mnt")

    def initialize(self, config: Mapping[str, Any], context: PluginContext) -> bool:
        """Make the folders; what an interrupted call left behind goes."""
        if context.data_dir is None:
            raise PluginError("file_system_write is not granted: results have no place to go")
        self._outputs = context.data_dir / "outputs"
        self._work = context.data_dir / "work"
        shutil.rmtree(self._work, ignore_errors=True)
        self._outputs.mkdir(exist_ok=True)
        self._work.mkdir()
        self._bounds = Bounds(
            memory_mb=config["query_memory_mb"],
            temp_mb=config["max_spill_mb"],
            result_bytes=config["max_result_kb"] << 10,
        )
        return True

    @tool
    def query(self, sql: str, inputs: Inputs | None = None, limit: int = 100) -> dict[str, Any]:
        """The first rows of a SELECT over the inputs."""
        with self._call(inputs or {}) as engine:
            result = engine.query(sql, limit=min(limit, self.config["max_rows"]))
        return {**asdict(result), "row_count": len(result.rows)}

    @tool
    def transform(
        self, sql: str, output: Mapping[str, str], inputs: Inputs | None = None
    ) -> dict[str, Any]:
        """The whole result of a SELECT, kept as an output; one of the same name is replaced."""
        name, output_format = _checked(output["name"]), output["format"]
        if output_format not in FORMATS:
            raise InputError(f"output.format: {output_format!r} found, one of {FORMATS} expected")
        before = find_output(self._outputs, name)
        with self._call(inputs or {}) as engine:
            unfinished = engine.work / f"result.{output_format}"
            rows = engine.write(sql, file=unfinished, output_format=output_format)
            kept = self._outputs / f"{name}.{output_format}"
            # At once or not at all: a reader sees the old result or the new one.
            unfinished.replace(kept)
        if before is not None and before != kept:
            before.unlink(missing_ok=True)
        return {**_described(kept), "rows": rows, "replaced": before is not None}

    @tool
    def list_outputs(self) -> dict[str, Any]:
        """What transforms have left, by name."""
        files = sorted(file for file in self._outputs.iterdir() if file.suffix[1:] in FORMATS)
        usage = shutil.disk_usage(self._outputs)
        return {
            "outputs": [_described(file) for file in files],
            "free_bytes": usage.free,
        }

    @tool
    def read_output(self, name: str, offset: int = 0, limit: int = 100) -> dict[str, Any]:
        """Rows of an output, a page at a time."""
        file = self._existing(name)
        source = Source(table="output", file=file, format=file.suffix[1:])
        with self._working() as work:
            engine = self._engine([source], work)
            result = engine.query(
                "SELECT * FROM output", limit=min(limit, self.config["max_rows"]), offset=offset
            )
        following = offset + len(result.rows) if result.truncated else None
        return {**asdict(result), "row_count": len(result.rows), "next_offset": following}

    @tool
    def delete_output(self, name: str) -> dict[str, Any]:
        """Remove an output for good."""
        file = self._existing(name)
        size = file.stat().st_size
        file.unlink()
        return {"deleted": name, "freed_bytes": size}

    def get_status(self) -> PluginStatus:
        """Degraded when the volume is nearly full."""
        usage = shutil.disk_usage(self._outputs)
        metrics = {
            "outputs": sum(1 for _ in self._outputs.iterdir()),
            "free_bytes": usage.free,
        }
        if usage.free < self.config["min_free_mb"] * _MIB:
            return PluginStatus("degraded", "the volume is nearly full: delete outputs", metrics)
        return PluginStatus("ready", "", metrics)

    def _existing(self, name: str) -> Path:
        file = find_output(self._outputs, _checked(name))
        if file is None:
            raise PluginError(f"there is no output {name!r}", 404, code="output_not_found")
        return file

    @contextmanager
    def _call(self, inputs: Inputs) -> Iterator[Engine]:
        with self._working() as work:
            folders = Folders(shares=self._shares(), outputs=self._outputs, work=work)
            yield self._engine(folders.resolve(inputs), work)

    def _engine(self, sources: list[Source], work: Path) -> Engine:
        return Engine(sources=sources, work=work, bounds=self._bounds, stop=self._stop())

    @contextmanager
    def _working(self) -> Iterator[Path]:
        """A folder of the call's own, gone after it; failures become problems."""
        with _as_problems():
            work = Path(mkdtemp(prefix="call-", dir=self._work))
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)

    def _shares(self) -> dict[str, Path]:
        granted = self.context.permissions.get("file_system_read", {}).get("shares", ())
        return {share: self.shares_root / share for share in granted}

    def _stop(self) -> Callable[[], bool]:
        # The watching thread is not the call's own: it cannot ask for the call's deadline itself.
        call = contextvars.copy_context()

        def stop() -> bool:
            left = call.run(self.context.deadline_seconds)
            return (left is not None and left < _MARGIN_SECONDS) or call.run(self.context.cancelled)

        return stop


_PROBLEMS: Mapping[type[Exception], tuple[int, str, str | None]] = {
    InputRefused: (422, "input_refused", None),
    InputMissing: (404, "input_not_found", None),
    QueryFailed: (422, "sql_failed", "The SQL failed"),
    QueryStopped: (504, "query_stopped", None),
    OutOfMemory: (507, "query_out_of_memory", None),
    DiskFull: (507, "volume_full", "The volume is full: delete outputs"),
}


@contextmanager
def _as_problems() -> Iterator[None]:
    try:
        yield
    except tuple(_PROBLEMS) as error:
        status, code, title = _PROBLEMS[type(error)]
        raise PluginError(str(error), status, title, code) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        status, code, title = _PROBLEMS[DiskFull]
        raise PluginError(str(error.strerror), status, title, code) from error


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputError(f"name: {name!r} found, {_NAME.pattern} expected")
    return name


def _described(file: Path) -> dict[str, Any]:
    stat = file.stat()
    return {
        "name": file.stem,
        "format": file.suffix[1:],
        "bytes": stat.st_size,
        "modified": datetime.fromtimestamp(stat.st_mtime, UTC).isoformat(timespec="seconds"),
    }
