"""One picture per image for a comparison: the photograph with the truth, then the map and mask of every run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

from seamark.comparison.changed_images import ComparedImage, ImageResult
from seamark.comparison.runs import RunFiles
from seamark.data.photographs import read_indexed
from seamark.errors import ManifestError
from seamark.files.images import UInt8Array, read_mask
from seamark.manifests.base import Manifest, read_manifest
from seamark.manifests.index import IndexManifest, TruthManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.maps.stored import load_map
from seamark.masks.stored import load_mask
from seamark.preview.panels import (
    BACKGROUND,
    MUTED,
    TEXT,
    TRUTH,
    Colour,
    draw_contours,
    line_height,
    map_panel,
    panel_size,
    photograph_panel,
    tint,
    write_text,
)
from seamark.preview.sources import PreviewManifests, PreviewSource, preview_sources
from seamark.repair import repair_command

PANEL_PX = 360
"""Longer side of a panel."""
COLUMNS = 4
"""Panels side by side; more runs make more rows."""
FONT_PX = 15
GAP_PX = 6
JPEG_QUALITY = 85
MASK: Colour = (92, 240, 120)
"""Colour of the refined masks: green is no colour of a map."""

PerCategory = TypeVar("PerCategory", IndexManifest, TruthManifest)
PerSplit = TypeVar("PerSplit", MapsManifest, MasksManifest)


@dataclass(frozen=True)
class RunPanel:
    """One run's part of a picture."""

    run: str
    source: PreviewSource
    score_range: tuple[float, float]
    """Scores of the first and the last colour of the map."""
    result: ImageResult


@dataclass(frozen=True)
class ComparisonStrip:
    """What one picture is made of."""

    image: ComparedImage
    panels: tuple[RunPanel, ...]
    """One per run that has the image; at least one."""

    @property
    def id(self) -> str:
        """Category, split and id of the image, for messages."""
        return self.image.id

    @property
    def file(self) -> str:
        """Path of the picture below the folder of the pictures."""
        return f"{self.image.id}.jpg"


@dataclass(frozen=True)
class _Panel:
    title: str
    pixels: UInt8Array
    note: str


def comparison_strips(
    runs: Sequence[RunFiles], images: Sequence[ComparedImage], root: Path, truth_root: Path | None
) -> list[ComparisonStrip]:
    """Bring together the files behind the pictures; only the splits of these images are looked at.

    Parameters
    ----------
    runs : sequence of RunFiles
        As many as the images have results.
    images : sequence of ComparedImage
        What will be drawn.
    root, truth_root : Path
        Folders of the photographs and of the private truth.

    Returns
    -------
    list of ComparisonStrip
        In the order of the images.

    Raises
    ------
    ManifestError
        If a run was scored on an image, but lists no map or mask of it.
    DataError
        If private truth is listed but its folder is not configured.
    """
    drawn = {(image.category, image.split) for image in images}
    panels = {key: _run_panels(runs, key, images, root, truth_root) for key in sorted(drawn)}
    return [ComparisonStrip(image, panels[image.category, image.split][image.name]) for image in images]


def _run_panels(
    runs: Sequence[RunFiles],
    key: tuple[str, str],
    images: Sequence[ComparedImage],
    root: Path,
    truth_root: Path | None,
) -> dict[str, tuple[RunPanel, ...]]:
    """Return the panels of every image of one category and split by id of the image."""
    wanted = [image for image in images if (image.category, image.split) == key]
    panels: dict[str, tuple[RunPanel, ...]] = {image.name: () for image in wanted}
    for number, run in enumerate(runs):
        if wanted[0].results[number] is None:
            continue
        manifests = _manifests(run, *key)
        maps = read_manifest(manifests.maps, MapsManifest)
        sources = {source.id: source for source in preview_sources(manifests, root, truth_root)}
        for image in wanted:
            result = image.results[number]
            if image.name not in sources or result is None:
                raise ManifestError(
                    f"{manifests.maps}: run {run.name} was scored on {image.id}, but has no map of it; "
                    f"rebuild it with: {repair_command(manifests.maps)}"
                )
            source = sources[image.name]
            panels[image.name] += (RunPanel(run.name, source, _score_range(maps, source), result),)
    return panels


def _manifests(run: RunFiles, category: str, split: str) -> PreviewManifests:
    return PreviewManifests(
        index=_of_category(run.index, IndexManifest, category, run.name),
        truth=_of_category(run.truth, TruthManifest, category, run.name),
        maps=_of_split(run.maps, MapsManifest, category, split, run.name),
        coarse=_of_split(run.coarse, MasksManifest, category, split, run.name),
        refined=_of_split(run.refined, MasksManifest, category, split, run.name),
    )


def _of_category(paths: Sequence[Path], kind: type[PerCategory], category: str, run: str) -> Path:
    for path in paths:
        if read_manifest(path, kind).category == category:
            return path
    raise _missing(kind, category, run)


def _of_split(paths: Sequence[Path], kind: type[PerSplit], category: str, split: str, run: str) -> Path:
    for path in paths:
        manifest = read_manifest(path, kind)
        if (manifest.category, manifest.split) == (category, split):
            return path
    raise _missing(kind, f"{category} {split}", run)


def _missing(kind: type[Manifest], what: str, run: str) -> ManifestError:
    return ManifestError(
        f"run {run} was scored on {what}, but lists no {kind.__name__} of it; give the comparison all files of the run"
    )


def _score_range(maps: MapsManifest, source: PreviewSource) -> tuple[float, float]:
    """Put the image's coarse threshold in the middle of the colours, the mean score of the split at their start.

    Runs have scales of their own; the threshold is what their maps have in common. Without a threshold above the mean
    the colours end at the highest score of the split.
    """
    low = sum(record.mean for record in maps.maps) / len(maps.maps)
    rules = [rule for rule in source.coarse.thresholds if rule.rule != "grow"]
    above = [value for rule in rules if (value := rule.value) is not None and value > low]
    high = 2.0 * min(above) - low if above else max(record.maximum for record in maps.maps)
    return (low, high) if high > low else (low, low + 1.0)


def write_comparison_strip(strip: ComparisonStrip, folder: Path) -> None:
    """Draw one picture.

    Parameters
    ----------
    strip : ComparisonStrip
        What it is made of.
    folder : Path
        Folder of the pictures; ``strip.file`` is written below it.

    Raises
    ------
    DataError
        If a photograph or a mask is damaged.
    ManifestError
        If a map or a mask is not the one that its manifest describes.
    """
    source = strip.panels[0].source
    photograph = read_indexed(source.image, source.root, source.manifests.index)
    size = panel_size(photograph.shape, PANEL_PX)
    panels = [_truth_panel(source, photograph_panel(photograph, size))]
    panels += [_run_panel(panel, size) for panel in strip.panels]
    target = folder / strip.file
    target.parent.mkdir(parents=True, exist_ok=True)
    # Without chroma subsampling: thin coloured lines would smear.
    _assembled(strip.id, panels).save(target, format="JPEG", quality=JPEG_QUALITY, subsampling=0)


def _truth_panel(source: PreviewSource, photograph: UInt8Array) -> _Panel:
    if source.truth is None or source.truth_file is None or not source.truth.defect_px:
        return _Panel("photograph", photograph, "no defect")
    mask = read_mask(source.truth_file, source.image.width * source.image.height)
    drawn = draw_contours(tint(photograph, mask, TRUTH), mask, TRUTH, 1)
    return _Panel("photograph and truth", drawn, f"{source.truth.defect_px:,} defect px")


def _run_panel(panel: RunPanel, size: tuple[int, int]) -> _Panel:
    source, scores = panel.source, panel.result.scores
    coloured = map_panel(load_map(source.manifests.maps, source.map), size, panel.score_range)
    drawn = draw_contours(coloured, load_mask(source.manifests.refined, source.refined), MASK, 1)
    wrong = f"{scores.refined_false_positive_px:,} px too many, {scores.refined_false_negative_px:,} missed"
    return _Panel(panel.run, drawn, f"F1 {scores.refined_f1 or 0.0:.3f}, {wrong}" if scores.bad else wrong)


def _assembled(header: str, panels: Sequence[_Panel]) -> Image.Image:
    line = line_height(FONT_PX)
    height, width = panels[0].pixels.shape[:2]
    columns, cell = min(COLUMNS, len(panels)), height + 2 * line + GAP_PX
    rows = math.ceil(len(panels) / columns)
    total = columns * (width + GAP_PX) + GAP_PX
    canvas = Image.new("RGB", (total, line + GAP_PX + rows * cell), BACKGROUND)
    write_text(canvas, (GAP_PX, GAP_PX // 2), header, size_px=FONT_PX, width=total - 2 * GAP_PX, colour=TEXT)
    for position, panel in enumerate(panels):
        left = GAP_PX + position % columns * (width + GAP_PX)
        top = line + GAP_PX // 2 + position // columns * cell
        write_text(canvas, (left, top), panel.title, size_px=FONT_PX, width=width, colour=TEXT)
        canvas.paste(Image.fromarray(panel.pixels), (left, top + line))
        write_text(canvas, (left, top + line + height), panel.note, size_px=FONT_PX, width=width, colour=MUTED)
    return canvas
