"""Makes the SDK tests' own host importable: the plugin in C is held to the same contract."""

import sys
from pathlib import Path

SDK_TESTS = Path(__file__).resolve().parents[3] / "plugin_images" / "sdk" / "tests"

if str(SDK_TESTS) not in sys.path:
    sys.path.insert(0, str(SDK_TESTS))
