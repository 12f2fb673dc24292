"""The orchestrator's version: the one place that says it (pyproject.toml reads it here)."""

CORE_VERSION = "0.1.0"
