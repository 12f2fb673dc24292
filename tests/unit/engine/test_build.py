from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.engine.assets import Assets
from orchestrator.engine.base import BuildFailed, ImageNotFound
from orchestrator.engine.build import ImagePlan, ensure_image, plan_image
from orchestrator.engine.dockerfile import DockerfileRefused
from orchestrator.engine.folder import InvalidFolder
from orchestrator.engine.memory_stores import MemoryImages
from orchestrator.engine.wheels import DependenciesFailed, InvalidLock
from orchestrator.model.policy import BuildPolicy

BASE = "orchestrator/base:1"
PIN = "lib==1.0 --hash=sha256:" + "0" * 64
OWN = "ARG ORCHESTRATOR_BASE\nFROM ${ORCHESTRATOR_BASE}\nCOPY . /plugin\n"


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    base = tmp_path / "assets" / "base"
    base.mkdir(parents=True)
    (base / "plugin.Dockerfile").write_text("FROM base\n")
    return Assets(base=base, sdk=tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plugin"
    (folder / "tests").mkdir(parents=True)
    (folder / "plugin.yaml").write_text("plugin_id: x\n")
    (folder / "main.py").write_text("print()\n")
    (folder / "tests" / "test_main.py").write_text("secret\n")
    (folder / ".env").write_text("secret\n")
    return folder


@pytest.fixture
def images() -> MemoryImages:
    images = MemoryImages()
    images.add(BASE, labels={"orchestrator.python": "3.11"})
    return images


async def _ensure(
    plan: ImagePlan, images: MemoryImages, assets: Assets, policy: BuildPolicy | None = None
) -> str:
    return await ensure_image(
        plan,
        images=images,
        policy=policy or BuildPolicy(),
        cache=assets.base.parent / "cache",
        progress=lambda _: None,
        assets=assets,
    )


def test_the_tag_names_the_plugin_and_the_hash(folder: Path, assets: Assets) -> None:
    name, _, digest = plan_image(folder, "x", BASE, assets=assets).tag.partition(":")

    assert name == "orchestrator/x"
    assert len(bytes.fromhex(digest)) == 8


def test_folder_base_and_recipe_each_change_the_tag(folder: Path, assets: Assets) -> None:
    tags = {plan_image(folder, "x", BASE, assets=assets).tag}
    tags.add(plan_image(folder, "x", "orchestrator/base:2", assets=assets).tag)
    (folder / "main.py").write_text("print(1)\n")
    tags.add(plan_image(folder, "x", BASE, assets=assets).tag)
    (assets.base / "plugin.Dockerfile").write_text("FROM other\n")
    tags.add(plan_image(folder, "x", BASE, assets=assets).tag)

    assert len(tags) == 4


def test_an_own_dockerfile_on_nothing_of_ours_does_not_follow_our_base(
    folder: Path, assets: Assets
) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY x /plugin/\n")
    one, two = (plan_image(folder, "x", base, assets=assets) for base in (BASE, "other:2"))

    assert one == two
    assert one.base_tag is None


async def test_the_image_holds_the_folder_at_plugin_and_no_more(
    folder: Path, assets: Assets, images: MemoryImages
) -> None:
    image = await _ensure(plan_image(folder, "x", BASE, assets=assets), images, assets)

    [request] = images.builds
    assert await images.read_file(image, "/plugin/main.py", max_bytes=99) == b"print()\n"
    assert await images.read_file(image, "/Dockerfile", max_bytes=99) == b"FROM base\n"
    assert set(request.context) == {
        "Dockerfile",
        "plugin/main.py",
        "plugin/plugin.yaml",
        "site-packages",
    }
    assert request.arguments == {"ORCHESTRATOR_BASE": BASE}


async def test_the_policy_bounds_the_build(
    folder: Path, assets: Assets, images: MemoryImages
) -> None:
    plan = plan_image(folder, "x", BASE, assets=assets)
    await _ensure(plan, images, assets)
    loose = BuildPolicy(network=True, memory_mb=64, timeout_seconds=10)
    await _ensure(replace(plan, tag="orchestrator/x:2"), images, assets, loose)

    closed, opened = images.builds
    assert (closed.network, closed.memory_bytes, closed.timeout_seconds) == (False, 1 << 30, 900)
    assert (opened.network, opened.memory_bytes, opened.timeout_seconds) == (True, 64 << 20, 10)


async def test_what_exists_is_not_built_again(
    folder: Path, assets: Assets, images: MemoryImages
) -> None:
    plan = plan_image(folder, "x", BASE, assets=assets)
    first = await _ensure(plan, images, assets)
    second = await _ensure(plan, images, assets)

    assert first == second
    assert len(images.builds) == 1


async def test_an_own_dockerfile_gets_the_folder_as_it_is(
    folder: Path, assets: Assets, images: MemoryImages
) -> None:
    (folder / "Dockerfile").write_text(OWN)
    await _ensure(plan_image(folder, "x", BASE, assets=assets), images, assets)

    [request] = images.builds
    assert set(request.context) == {"Dockerfile", "main.py", "plugin.yaml"}
    assert request.arguments == {"ORCHESTRATOR_BASE": BASE}


async def test_a_dockerfile_from_scratch_needs_no_base(folder: Path, assets: Assets) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY main.py /plugin/\n")
    images = MemoryImages()
    await _ensure(plan_image(folder, "x", BASE, assets=assets), images, assets)

    assert images.builds[0].arguments == {}


async def test_a_dockerfile_that_reaches_outside_is_not_built(
    folder: Path, assets: Assets, images: MemoryImages
) -> None:
    (folder / "Dockerfile").write_text("FROM alpine\n")
    plan = plan_image(folder, "x", BASE, assets=assets)

    with pytest.raises(DockerfileRefused):
        await _ensure(plan, images, assets)
    assert images.builds == []


async def test_packages_are_chosen_for_the_python_of_the_base(
    folder: Path, assets: Assets, images: MemoryImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "requirements.lock").write_text(PIN)
    # An index that is not there: pip is asked, and says what it wanted.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(assets.base))
    plan = plan_image(folder, "x", BASE, assets=assets)

    with pytest.raises(DependenciesFailed, match=r"No matching distribution found for lib==1\.0"):
        await _ensure(plan, images, assets)
    assert images.builds == []


async def test_packages_without_their_base_are_not_guessed(folder: Path, assets: Assets) -> None:
    (folder / "requirements.lock").write_text(PIN)
    plan = plan_image(folder, "x", BASE, assets=assets)

    with pytest.raises(ImageNotFound):
        await _ensure(plan, MemoryImages(), assets)


def test_a_lock_with_options_is_refused_before_anything_runs(folder: Path, assets: Assets) -> None:
    (folder / "requirements.lock").write_text("--no-binary :all:\n")

    with pytest.raises(InvalidLock):
        plan_image(folder, "x", BASE, assets=assets)


def test_a_lock_needs_our_python(folder: Path, assets: Assets) -> None:
    (folder / "requirements.lock").write_text(PIN)
    (folder / "Dockerfile").write_text("FROM scratch\n")

    with pytest.raises(InvalidFolder, match="needs a Dockerfile that builds on"):
        plan_image(folder, "x", BASE, assets=assets)


def test_a_lock_and_a_folder_of_packages_do_not_go_together(folder: Path, assets: Assets) -> None:
    (folder / "requirements.lock").write_text(PIN)
    (folder / "site-packages").mkdir()
    (folder / "site-packages" / "lib.py").touch()

    with pytest.raises(InvalidFolder, match="found both"):
        plan_image(folder, "x", BASE, assets=assets)


@pytest.mark.parametrize("name", ["Dockerfile", "requirements.lock"])
def test_a_recipe_that_is_a_link_is_refused(folder: Path, assets: Assets, name: str) -> None:
    (folder / name).symlink_to("/etc/passwd")

    with pytest.raises(InvalidFolder, match=f"{name}: a symbolic link"):
        plan_image(folder, "x", BASE, assets=assets)


def test_an_empty_folder_is_refused(tmp_path: Path, assets: Assets) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(InvalidFolder, match="empty"):
        plan_image(tmp_path / "empty", "x", BASE, assets=assets)


def test_a_recipe_that_is_no_text_is_refused(folder: Path, assets: Assets) -> None:
    (folder / "Dockerfile").write_bytes(b"\xff\xfe")

    with pytest.raises(InvalidFolder, match="Dockerfile: not UTF-8"):
        plan_image(folder, "x", BASE, assets=assets)


async def test_a_failed_build_is_tried_again_next_time(
    folder: Path, assets: Assets, images: MemoryImages
) -> None:
    plan = plan_image(folder, "x", BASE, assets=assets)
    images.failures.add("build", BuildFailed("no"))

    with pytest.raises(BuildFailed):
        await _ensure(plan, images, assets)
    assert (await _ensure(plan, images, assets)).startswith("sha256:")
