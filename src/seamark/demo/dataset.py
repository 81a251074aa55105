"""Draws the whole demo data set into a folder, one image at a time."""

import re
from collections import Counter
from pathlib import Path
from typing import Literal, cast

from PIL import Image

from seamark.demo.categories import CATEGORIES, add_defects
from seamark.demo.lights import LIGHTS, photograph
from seamark.demo.scene import Scene, generator
from seamark.demo.shots import PlannedScene, SceneKey, Shot, shots_of
from seamark.errors import DataError
from seamark.files.atomic import atomic_folder, file_digest
from seamark.files.images import UInt8Array, write_mask
from seamark.files.parallel import MapItems
from seamark.manifests.demo import DemoCategory, DemoFile, DemoManifest
from seamark.settings.demo import DemoSettings

MARKER = ".seamark-demo"
"""File that tells a folder of ours from a folder with somebody's images."""
_FILE_NAME = re.compile(r"\d{3}_[a-z0-9_]+\.png")
_TURN_OFFSET = {"public_bad": 0, "private_bad": 2}
"""Where the round of defects starts, so that private scenes have kinds that public ones lack."""


def draw_scene(key: SceneKey, settings: DemoSettings) -> Scene:
    """Draw the surfaces of one scene, with defects where its key says so; only key, seed and scale matter."""
    category = CATEGORIES[key.category]
    shape = (round(category.shape[0] * settings.scale), round(category.shape[1] * settings.scale))
    scene = category.draw(generator(settings.seed, *key.parts(), "scene"), shape, settings.scale)
    if key.bad:
        rng = generator(settings.seed, *key.parts(), "defects")
        add_defects(category, scene, rng, key.number + _TURN_OFFSET[key.group])
    return cast(Scene, scene)


def take(scene: Scene, key: SceneKey, shot: Shot, settings: DemoSettings) -> UInt8Array:
    """Photograph a drawn scene under the light of a shot: uint8 (H, W, C), C is 1 for grey and 3 for RGB.

    The same scene under the same light in another split has other sensor noise.
    """
    split = shot.file.split("/")[0]
    return photograph(scene, LIGHTS[shot.light], generator(settings.seed, *key.parts(), split, shot.light))


def _write(folder: Path, file: str, pixels: UInt8Array) -> None:
    target = folder / file
    target.parent.mkdir(parents=True, exist_ok=True)
    grey = pixels.shape[2] == 1
    image = Image.fromarray(pixels[:, :, 0] if grey else pixels, mode="L" if grey else "RGB")
    image.save(target, format="PNG", compress_level=1)


def _write_truth(folder: Path, file: str | None, scene: Scene) -> None:
    if file is None:
        return
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    write_mask(folder / file, scene.mask)


def _files(folder: Path, category: str, root: Literal["data", "truth"]) -> list[DemoFile]:
    return [
        DemoFile(file=f"{category}/{path.relative_to(folder).as_posix()}", root=root, sha256=file_digest(path))
        for path in sorted(folder.rglob("*.png"))
    ]


def _draw_category(
    name: str, root: Path, truth_root: Path, settings: DemoSettings, map_scenes: MapItems
) -> DemoCategory:
    scenes = list(shots_of(name, settings))
    with atomic_folder(root / name) as data, atomic_folder(truth_root / name) as truth:

        def draw(planned: PlannedScene) -> tuple[int, int]:
            scene = draw_scene(planned.key, settings)
            for shot in planned.shots:
                _write(data, shot.file, take(scene, planned.key, shot, settings))
                _write_truth(data, shot.mask, scene)
                _write_truth(truth, shot.private_mask, scene)
            return scene.shape

        height, width = map_scenes(draw, scenes, f"scenes of {name}")[0]
        files = (*_files(data, name, "data"), *_files(truth, name, "truth"))
    splits = Counter(shot.file.split("/")[0] for planned in scenes for shot in planned.shots)
    return DemoCategory(
        name=name,
        width=width,
        height=height,
        channels=CATEGORIES[name].channels,
        images=dict(sorted(splits.items())),
        files=files,
    )


def _claim(folder: Path) -> None:
    """Make sure that drawing into ``folder`` cannot remove anything but an earlier demo, and mark it as ours."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: expected a folder for the demo, found a file; choose another data.root")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise DataError(
            f"{folder}: the folder is not empty and was not drawn by the demo (no file {MARKER}); "
            "set data.demo: false to use your own images, or choose an empty folder as data.root and data.truth_root"
        )
    for name in CATEGORIES:
        for path in sorted((folder / name).rglob("*")):
            if path.is_file() and not _FILE_NAME.fullmatch(path.name):
                raise DataError(f"{path}: not a file of the demo, which would be removed here; move it elsewhere first")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text(
        "Drawn by the demo of Seamark; every category folder here may be drawn anew.\n", "utf-8"
    )


def draw_demo(root: Path, truth_root: Path, settings: DemoSettings, map_scenes: MapItems) -> DemoManifest:
    """Draw the demo in the layout of MVTec AD 2, one scene in memory at a time and thread.

    Parameters
    ----------
    root : Path
        Gets one folder per category with its five splits; public masks included.
    truth_root : Path
        Gets ``<category>/<split>/NNN_mask.png`` for the two private splits, all zero for good images.
    settings : DemoSettings
        Seed, counts and scale.
    map_scenes : callable
        Applies a function to every scene, in turn or in threads; the pixels do not depend on it.

    Raises
    ------
    DataError
        If a folder holds anything that is not an earlier demo, or both folders are the same.
    """
    if root.resolve() == truth_root.resolve():
        raise DataError(f"{root}: data.root and data.truth_root are the same folder; keep the private truth apart")
    for folder in (root, truth_root):
        _claim(folder)
    drawn = (_draw_category(name, root, truth_root, settings, map_scenes) for name in sorted(CATEGORIES))
    return DemoManifest(seed=settings.seed, scale=settings.scale, categories=tuple(drawn))
