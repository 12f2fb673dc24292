"""The plugin: two tools, `scan_text` and `scan_share`, over the scanner and the walk."""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from orchestrator_sdk import InputError, PluginContext, PluginError, PluginInterface, tool
from secret_scanner_detectors import UnknownDetector, make_detectors
from secret_scanner_share import PathMissing, PathRefused, ShareWalk
from secret_scanner_text import TextScanner

_MARGIN_SECONDS = 2.0
"""Left of a call's deadline for writing the answer; what was not scanned is said in it."""
_MIB = 1 << 20


class SecretScanner(PluginInterface):
    """Finds credentials in text and in shares; answers where they are, never what they are."""

    shares_root: ClassVar[Path] = Path("/mnt")

    def initialize(self, config: Mapping[str, Any], context: PluginContext) -> bool:
        """Make the detectors; an unknown name of one fails the start."""
        try:
            detectors = make_detectors(
                disabled=config["disabled_detectors"],
                base64_limit=config["base64_entropy_limit"],
                hex_limit=config["hex_entropy_limit"],
            )
        except UnknownDetector as error:
            raise InputError(f"disabled_detectors: {error}") from error
        self._scanner = TextScanner(
            detectors=detectors,
            fingerprint_key=config["fingerprint_key"].encode() or secrets.token_bytes(32),
            honour_allowlist=config["honour_allowlist_comments"],
        )
        return True

    @tool
    def scan_text(self, text: str, path_hint: str = "") -> dict[str, Any]:
        """Credentials in one text; `path_hint` is the file name it has or would have."""
        size = len(text.encode("utf-8", "replace"))
        allowed = self.config["max_text_kb"] << 10
        if size > allowed:
            raise InputError(f"text of {size} bytes found, at most {allowed} expected", 413)
        scan = _Scan(self._scanner, limit=self.config["max_findings"], late=self._late)
        scan.add(text, path_hint)
        return {
            "findings": scan.findings,
            "count": len(scan.findings),
            "truncated": scan.truncated,
        }

    @tool
    def scan_share(
        self, share: str, path: str = "", max_findings: int | None = None
    ) -> dict[str, Any]:
        """Credentials in the text files of a granted share, at or beneath `path`."""
        walk = ShareWalk(root=self._share(share), max_file_bytes=self.config["max_file_kb"] << 10)
        most = self.config["max_findings"]
        scan = _Scan(self._scanner, limit=min(most, max_findings or most), late=self._late)
        try:
            self._scan_files(walk, path, scan)
        except PathRefused as error:
            raise InputError(str(error), code="path_refused") from error
        except PathMissing as error:
            raise PluginError(str(error), 404, code="path_not_found") from error
        return {
            "share": share,
            "findings": scan.findings,
            "count": len(scan.findings),
            "by_type": dict(Counter(str(finding["type"]) for finding in scan.findings)),
            "files_scanned": scan.texts,
            "bytes_scanned": scan.bytes,
            "skipped": dict(walk.skipped),
            "truncated": scan.truncated,
        }

    def _scan_files(self, walk: ShareWalk, path: str, scan: "_Scan") -> None:
        max_files = self.config["max_files"]
        max_bytes = self.config["max_total_mb"] * _MIB
        for file in walk.files(path):
            if scan.texts >= max_files:
                scan.truncated = "max_files"
            elif scan.bytes + file.size_bytes > max_bytes:
                scan.truncated = "max_total_mb"
            else:
                scan.bytes += file.size_bytes
                scan.add(file.text, file.path)
            if scan.truncated:
                return

    def _share(self, share: str) -> Path:
        granted = self.context.permissions.get("file_system_read", {}).get("shares", ())
        if share not in granted:
            raise PluginError(
                f"share {share!r} is not granted to this plugin;"
                f" granted: {', '.join(granted) or 'none'}",
                403,
                code="share_not_granted",
            )
        return self.shares_root / share

    def _late(self) -> bool:
        left = self.context.deadline_seconds()
        return (left is not None and left < _MARGIN_SECONDS) or self.context.cancelled()


class _Scan:
    """What one call gathers, within its bounds."""

    def __init__(self, scanner: TextScanner, *, limit: int, late: Callable[[], bool]) -> None:
        self._scanner = scanner
        self._limit = limit
        self._late = late
        self.findings: list[dict[str, Any]] = []
        self.texts = 0
        self.bytes = 0
        self.truncated: str | None = None
        """Why the scan ended before everything was seen; None if it did not."""

    def add(self, text: str, path: str) -> None:
        self.texts += 1
        for finding in self._scanner.scan(text, path, stop=self._stop):
            if len(self.findings) >= self._limit:
                self.truncated = "max_findings"
                return
            self.findings.append({"path": path, **asdict(finding)})

    def _stop(self) -> bool:
        if self.truncated is None and self._late():
            self.truncated = "deadline"
        return self.truncated is not None
