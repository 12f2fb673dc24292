"""Where the files lie that get into every plugin image: the base image's recipe and the SDK.

They are shipped inside the wheel, and lie in plugin_images/ in a checkout.
"""

from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import Kind, OrchestratorError

SDK_PACKAGE = "orchestrator_sdk"


class AssetsMissing(OrchestratorError):
    """The installation is incomplete: the base image's recipe or the SDK is not there."""

    kind, code = Kind.INTERNAL, "assets_missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assets:
    base: Path
    """Dockerfile, debian.sh, sdk.Dockerfile and plugin.Dockerfile."""
    sdk: Path
    """The folder that holds the package `orchestrator_sdk`."""


def find_assets(package: Path | None = None) -> Assets:
    """The two folders; `package` is this package's own folder. Raises AssetsMissing."""
    package = package or Path(__file__).resolve().parent
    places = (package / "_assets", package.parent.parent / "plugin_images")
    for place in places:
        assets = Assets(base=place / "base", sdk=place / "sdk")
        if (assets.base / "sdk.Dockerfile").is_file() and (assets.sdk / SDK_PACKAGE).is_dir():
            return assets
    raise AssetsMissing(
        "The base image's recipe (base/sdk.Dockerfile) and the SDK (sdk/orchestrator_sdk/) are"
        f" expected together in {places[0]} or {places[1]}; reinstall orchestrator"
    )
