"""One picture per image for a comparison: the photograph with the truth, then the map and mask of every run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seamark.comparison.changed_images import ComparedImage, ImageResult
from seamark.comparison.runs import RunFiles
from seamark.errors import ManifestError
from seamark.manifests.base import Manifest, read_manifest
from seamark.manifests.evaluation import ImageScores
from seamark.manifests.index import IndexManifest, TruthManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.maps.stored import load_map
from seamark.masks.stored import load_mask
from seamark.preview.panels import draw_contours, folded, map_panel, panel_size, photograph_panel
from seamark.preview.sheets import Captioned, Colour, save_jpeg, sheet
from seamark.preview.sources import PreviewManifests, PreviewSource, preview_sources, read_pixels
from seamark.preview.strips import truth_panel
from seamark.repair import repair_command

PANEL_PX = 360
"""Longer side of a panel."""
RUNS_ACROSS = 4
"""Panels side by side; more runs make more rows."""
FONT_PX = 15
JPEG_QUALITY = 85
COMPARED_MASK: Colour = (92, 240, 120)
"""Colour of the refined masks: green is no colour of a map."""


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
    panels: dict[str, tuple[RunPanel, ...]] = {image.id: () for image in images}
    for category, split in sorted({(image.category, image.split) for image in images}):
        wanted = [image for image in images if (image.category, image.split) == (category, split)]
        for number, run in enumerate(runs):
            if wanted[0].results[number] is None:
                continue
            manifests = _manifests(run, category, split)
            maps = read_manifest(manifests.maps, MapsManifest)
            sources = {source.id: source for source in preview_sources(manifests, root, truth_root)}
            for image in wanted:
                result, source = image.results[number], sources.get(image.name)
                if source is None or result is None:
                    raise ManifestError(
                        f"{manifests.maps}: run {run.name} was scored on {image.id}, but has no map of it; "
                        f"rebuild it with: {repair_command(manifests.maps)}"
                    )
                panels[image.id] += (RunPanel(run.name, source, _score_range(maps, source), result),)
    return [ComparisonStrip(image, panels[image.id]) for image in images]


def _manifests(run: RunFiles, category: str, split: str) -> PreviewManifests:
    kinds: dict[str, type[Manifest]] = {
        "index": IndexManifest,
        "truth": TruthManifest,
        "maps": MapsManifest,
        "coarse": MasksManifest,
        "refined": MasksManifest,
    }
    return PreviewManifests(
        **{name: _found(getattr(run, name), kind, category, split, run.name) for name, kind in kinds.items()}
    )


def _found(paths: Sequence[Path], kind: type[Manifest], category: str, split: str, run: str) -> Path:
    """Return the manifest of a split of a category."""
    for path in paths:
        manifest = read_manifest(path, kind).model_dump(include={"category", "split"})
        if manifest == {"category": category, "split": split}:
            return path
    raise ManifestError(
        f"run {run} was scored on {category} {split}, but lists no {kind.__name__} of it; "
        "give the comparison all files of the run"
    )


def _score_range(maps: MapsManifest, source: PreviewSource) -> tuple[float, float]:
    """Put the image's coarse threshold in the middle of the colours, the mean score of the split at their start.

    Runs have scales of their own; the threshold is what their maps have in common. Without a threshold above the mean
    the colours end at the highest score of the split.
    """
    low = sum(record.mean for record in maps.maps) / len(maps.maps)
    rules = [rule for rule in source.coarse.thresholds if rule.finds]
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
    first = strip.panels[0].source
    pixels = read_pixels(first)
    size = panel_size(pixels.image.shape, PANEL_PX)
    panels = [truth_panel("photograph and truth", first, pixels, photograph_panel(pixels.image, size), 1)]
    for panel in strip.panels:
        source = panel.source
        coloured = map_panel(load_map(source.manifests.maps, source.map), size, panel.score_range)
        drawn = draw_contours(coloured, load_mask(source.manifests.refined, source.refined), COMPARED_MASK, 1)
        panels.append(Captioned(panel.run, drawn, _note(panel.result.scores)))
    panels = [replace(panel, pixels=folded(panel.pixels, pixels.image.shape)) for panel in panels]
    save_jpeg(sheet(panels, RUNS_ACROSS, FONT_PX, header=strip.id), folder / strip.file, JPEG_QUALITY)


def _note(scores: ImageScores) -> str:
    if scores.left_out:
        return scores.left_out
    wrong = f"{scores.refined_false_positive_px:,} px too many, {scores.refined_false_negative_px:,} missed"
    return f"F1 {scores.refined_f1 or 0.0:.3f}, {wrong}" if scores.bad else wrong
