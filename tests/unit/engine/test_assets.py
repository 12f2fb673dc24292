from pathlib import Path

import pytest

from orchestrator.engine.assets import Assets, AssetsMissing, find_assets


def _lay(place: Path) -> Assets:
    (place / "base").mkdir(parents=True)
    (place / "base" / "sdk.Dockerfile").touch()
    (place / "sdk" / "orchestrator_sdk").mkdir(parents=True)
    return Assets(base=place / "base", sdk=place / "sdk")


def test_a_wheel_carries_them_inside_the_package(tmp_path: Path) -> None:
    package = tmp_path / "orchestrator" / "engine"
    _lay(tmp_path / "plugin_images")
    assets = _lay(package / "_assets")

    assert find_assets(package) == assets


def test_a_checkout_has_them_in_plugin_images(tmp_path: Path) -> None:
    assets = _lay(tmp_path / "plugin_images")

    assert find_assets(tmp_path / "orchestrator" / "engine") == assets


def test_without_them_the_error_says_where_they_are_expected(tmp_path: Path) -> None:
    with pytest.raises(AssetsMissing, match=r"_assets or .*plugin_images"):
        find_assets(tmp_path / "orchestrator" / "engine")


def test_this_installation_has_every_recipe() -> None:
    assets = find_assets()

    names = {path.name for path in assets.base.iterdir()}
    assert {"Dockerfile", "debian.sh", "sdk.Dockerfile", "plugin.Dockerfile"} <= names
    assert (assets.sdk / "orchestrator_sdk" / "__init__.py").is_file()
