"""Crasher: its module cannot even be imported."""

import os

print("about to crash", flush=True)  # noqa: T201 - the log is what is tested
os._exit(3)
