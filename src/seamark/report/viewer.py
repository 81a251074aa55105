"""What the gallery and the viewer of a category show: every image with its files and its numbers, as a script."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from seamark.errors import ManifestError
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.evaluation import EvaluationManifest, ImageScores
from seamark.manifests.index import ImageRecord, IndexManifest
from seamark.manifests.masks import MaskRecord, MasksManifest
from seamark.manifests.preview import PreviewManifest, StripRecord
from seamark.preview.panels import colours
from seamark.repair import repair_command
from seamark.report.links import relative_link, relative_path

SCRIPTS = ("gallery.js", "viewer.js")
SCORES = (
    "defects",
    "defect_px",
    "coarse_defects_found",
    "refined_defects_found",
    "coarse_f1",
    "refined_f1",
    "refined_false_positive_px",
    "refined_false_negative_px",
)
"""Scores of an image that the viewer shows."""


@dataclass(frozen=True)
class CategoryFiles:
    """The manifests of one category that its gallery is made of, each with its path.

    Parameters
    ----------
    index, calibration : tuple of Path and manifest
        Of the category.
    evaluation : tuple of Path and EvaluationManifest, optional
        None when nothing was scored.
    previews, coarse, refined : mapping of str to tuple of Path and manifest
        By split.
    """

    index: tuple[Path, IndexManifest]
    calibration: tuple[Path, CalibrationManifest]
    evaluation: tuple[Path, EvaluationManifest] | None
    previews: Mapping[str, tuple[Path, PreviewManifest]]
    coarse: Mapping[str, tuple[Path, MasksManifest]]
    refined: Mapping[str, tuple[Path, MasksManifest]]

    @property
    def category(self) -> str:
        """Name of the category."""
        return self.index[1].category

    @property
    def script(self) -> str:
        """File with the data of the gallery, relative to the page's folder."""
        return f"gallery/images/{self.category}.js"

    @cached_property
    def images(self) -> int:
        """Number of images in the gallery."""
        return sum(len(manifest.strips) for _, manifest in self.previews.values())

    @cached_property
    def lights(self) -> list[str]:
        """Light conditions of the images in the gallery."""
        return sorted({image.light for image in self.index[1].images if image.split in self.previews})

    @cached_property
    def scored(self) -> bool:
        """Whether the truth of an image in the gallery is known."""
        return self.evaluation is not None and any(image.split in self.previews for image in self.evaluation[1].images)


def write_galleries(categories: Mapping[str, CategoryFiles], folder: Path, page_folder: Path) -> None:
    """Write the scripts, the colour bar and the data of every category.

    Parameters
    ----------
    categories : mapping of str to CategoryFiles
        By name.
    folder : Path
        Folder to fill, possibly a draft.
    page_folder : Path
        Folder of the page, which the links are relative to.

    Raises
    ------
    ManifestError
        If an image of the previews is missing in another manifest.
    """
    templates = files("seamark.report").joinpath("templates")
    for name in SCRIPTS:
        (folder / name).write_text(templates.joinpath(name).read_text(encoding="utf-8"), encoding="utf-8")
    Image.fromarray(colours(np.arange(256, dtype=np.uint8)[np.newaxis])).save(folder / "colours.png")
    for category in categories.values():
        script = folder / Path(category.script).relative_to("gallery")
        script.parent.mkdir(parents=True, exist_ok=True)
        data = json.dumps(gallery_data(category, page_folder), separators=(",", ":"))
        script.write_text(f"seamark.receive({data});\n", encoding="ascii")


def gallery_data(files_: CategoryFiles, page_folder: Path) -> dict[str, Any]:
    """Gather what the gallery of a category shows.

    Parameters
    ----------
    files_ : CategoryFiles
        Its manifests.
    page_folder : Path
        Folder of the page, which the links are relative to.

    Returns
    -------
    dict
        Ready for JSON: category, splits with their files, images with their numbers.
    """
    return {
        "category": files_.category,
        "splits": {split: _split(files_, split, page_folder) for split in files_.previews},
        "images": [image for split in files_.previews for image in _images(files_, split)],
    }


def _split(files_: CategoryFiles, split: str, page_folder: Path) -> dict[str, Any]:
    path, preview = files_.previews[split]
    manifests = {
        "index": files_.index[0],
        "calibration": files_.calibration[0],
        "evaluation": files_.evaluation[0] if files_.evaluation else None,
        "coarse": files_.coarse[split][0],
        "refined": files_.refined[split][0],
        "preview": path,
    }
    return {
        "base": relative_link(path.parent, page_folder) + "/",
        "range": preview.colour_range,
        "sources": {
            name: {"name": relative_path(source, page_folder.parent), "link": relative_link(source, page_folder)}
            for name, source in manifests.items()
            if source is not None
        },
    }


def _images(files_: CategoryFiles, split: str) -> Iterator[dict[str, Any]]:
    preview_path, preview = files_.previews[split]
    indexed = {image.id: image for image in files_.index[1].images if image.split == split}
    peaks = {
        image.id: image.maximum
        for statistics in files_.calibration[1].splits
        if statistics.split == split
        for image in statistics.images
    }
    coarse = {mask.id: mask for mask in files_.coarse[split][1].masks}
    refined = {mask.id: mask for mask in files_.refined[split][1].masks}
    evaluated = files_.evaluation[1].images if files_.evaluation else ()
    scored = {image.id: image for image in evaluated if image.split == split}
    for strip in preview.strips:
        if strip.id not in indexed or strip.id not in coarse or strip.id not in refined:
            raise ManifestError(
                f"{preview_path}: image {strip.id} is not in the index or has no mask; "
                f"rebuild the previews with: {repair_command(preview_path)}"
            )
        scores = scored.get(strip.id)
        yield {
            **_facts(indexed[strip.id], scores),
            "split": split,
            "peak": peaks.get(strip.id),
            "scores": None if scores is None else {name: getattr(scores, name) for name in SCORES},
            "coarse": _mask(coarse[strip.id]),
            "refined": _mask(refined[strip.id]),
            "thresholds": [[one.rule, one.value] for one in coarse[strip.id].thresholds],
            **_files(strip),
        }


def _facts(image: ImageRecord, scores: ImageScores | None) -> dict[str, Any]:
    label = image.label if scores is None else "bad" if scores.bad else "good"
    return {
        "id": image.id,
        "label": label,
        "light": image.light,
        "photograph": image.file,
        "size": [image.width, image.height],
    }


def _mask(mask: MaskRecord) -> dict[str, int]:
    return {"px": mask.foreground_px, "components": mask.components, "kept": mask.kept_coarse}


def _files(strip: StripRecord) -> dict[str, Any]:
    return {
        "layer_size": [strip.layer_width, strip.layer_height],
        "layers": {layer.name: quote(layer.file) for layer in strip.layers},
        "files": {
            "strip": quote(strip.file),
            "map": quote(strip.map),
            "coarse": quote(strip.coarse),
            "refined": quote(strip.refined),
        },
    }
