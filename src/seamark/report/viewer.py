"""Contents of gallery and viewer of a category: every image with its files and its numbers, as a script."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from seamark.errors import ManifestError
from seamark.manifests.evaluation import ImageScores
from seamark.manifests.index import ImageRecord
from seamark.manifests.masks import MaskRecord
from seamark.preview.panels import colours
from seamark.repair import repair_command
from seamark.report.pages import TEMPLATES, relative_link, relative_path
from seamark.report.run_files import CategoryFiles
from seamark.report.verdicts import image_verdict, split_verdicts

SCRIPTS = ("gallery.js", "verdicts.js", "viewer.js")
VIEWER_SCORES = (
    "left_out",
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
STRIP_FILES = {"strip": "file", "map": "map", "coarse": "coarse", "refined": "refined"}
"""Files that the viewer links to, and the fields of the preview's manifest that name them."""


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
    for name in SCRIPTS:
        (folder / name).write_text(TEMPLATES.joinpath(name).read_text(encoding="utf-8"), encoding="utf-8")
    Image.fromarray(colours(np.arange(256, dtype=np.uint8)[np.newaxis])).save(folder / "colours.png")
    for category in categories.values():
        script = folder / Path(category.script).relative_to("gallery")
        script.parent.mkdir(parents=True, exist_ok=True)
        data = json.dumps(gallery_data(category, page_folder), separators=(",", ":"))
        script.write_text(f"seamark.receive({data});\n", encoding="ascii")


def gallery_data(files: CategoryFiles, page_folder: Path) -> dict[str, Any]:
    """Gather what the gallery of a category shows, ready for JSON; links are relative to the folder of the page."""
    return {
        "category": files.category,
        "splits": {split: _split(files, split, page_folder) for split in files.previews},
        "images": [image for split in files.previews for image in _images(files, split)],
    }


def _split(files: CategoryFiles, split: str, page_folder: Path) -> dict[str, Any]:
    path, preview = files.previews[split]
    manifests = {
        "index": files.index[split][0],
        "calibration": files.calibration[split][0],
        "evaluation": files.evaluation[0] if files.evaluation else None,
        "coarse": files.coarse[split][0],
        "refined": files.refined[split][0],
        "verdicts": files.verdicts[split][0],
        "preview": path,
    }
    return {
        "base": relative_link(path.parent, page_folder) + "/",
        "range": preview.colour_range,
        "verdict": split_verdicts(files.verdicts[split][1]),
        "sources": {
            name: {"name": relative_path(source, page_folder.parent), "link": relative_link(source, page_folder)}
            for name, source in manifests.items()
            if source is not None
        },
    }


def _images(files: CategoryFiles, split: str) -> Iterator[dict[str, Any]]:
    preview_path, preview = files.previews[split]
    indexed = {image.id: image for image in files.index[split][1].images}
    scores, peaks = files.scores(split), files.peaks(split)
    coarse = {mask.id: mask for mask in files.coarse[split][1].masks}
    refined = {mask.id: mask for mask in files.refined[split][1].masks}
    judged = {verdict.id: verdict for verdict in files.verdicts[split][1].images}
    for strip in preview.strips:
        if any(strip.id not in listed for listed in (indexed, coarse, refined, judged)):
            raise ManifestError(
                f"{preview_path}: image {strip.id} is not in the index or has no mask or no verdict; "
                f"rebuild the previews with: {repair_command(preview_path)}"
            )
        image, scored = indexed[strip.id], scores.get(strip.id)
        yield {
            "id": image.id,
            "label": _label(image, scored),
            "light": image.light,
            "photograph": image.file,
            "size": [image.width, image.height],
            "split": split,
            "peak": peaks.get(strip.id),
            "verdict": image_verdict(judged[strip.id]),
            "scores": None if scored is None else {name: getattr(scored, name) for name in VIEWER_SCORES},
            "coarse": _mask(coarse[strip.id]),
            "refined": _mask(refined[strip.id]),
            "thresholds": [[one.rule, one.value] for one in coarse[strip.id].thresholds],
            "layer_size": [strip.layer_width, strip.layer_height],
            "layers": {layer.name: quote(layer.file) for layer in strip.layers},
            "files": {name: quote(getattr(strip, kind)) for name, kind in STRIP_FILES.items()},
        }


def _label(image: ImageRecord, scores: ImageScores | None) -> str | None:
    return image.label if scores is None else "bad" if scores.bad else "good"


def _mask(mask: MaskRecord) -> dict[str, int]:
    return {"px": mask.foreground_px, "components": mask.components, "kept": mask.kept_coarse}
