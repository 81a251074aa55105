"""From anomaly maps to coarse masks: the union of all rules, each with an optional erosion, growth, and an area filter.

Source: docs/methods/robis.md#binarisation. Erosion and MEBin's counting happen at the scale of the map; with
``at: native`` the map, eroded where the rule asks for it, is brought to image size before it is thresholded, so that a
small defect keeps its outline.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seamark.errors import ManifestError
from seamark.files.images import BoolArray, Float32Array
from seamark.manifests.calibration import SplitStatistics
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.manifests.masks import MaskRecord, MaskWarning, ThresholdRecord
from seamark.maps.calibration import Calibrations
from seamark.maps.fusion import Layer, read_layers
from seamark.maps.normal_statistics import normal_photographs, normal_statistics
from seamark.maps.stored import load_map
from seamark.masks.closing import close_along_lines, erode_ellipse
from seamark.masks.components import (
    component_evidence,
    drop_small,
    drop_weak,
    enlarge_map,
    erode_scores,
    fill_holes,
    find_components,
    grow_components,
    open_scores,
    resize_mask,
    trim_halos,
)
from seamark.masks.extents import Outline, draw_extents, drop_covered
from seamark.masks.floors import (
    closing_floor,
    extent_floor,
    growing_threshold,
    lowest_threshold,
    median_quantile,
)
from seamark.masks.mebin import SCALE
from seamark.masks.stored import save_mask
from seamark.masks.thresholds import ImageContext, find_thresholds, robust_fence
from seamark.masks.warnings import mask_warnings
from seamark.settings.binarize import NORMAL_SPLITS, BinarizeSettings, conformal_rank

NO_SCORES: Float32Array = np.zeros((1, 1), np.float32)
"""For rules that look at no single map."""


def _largest_float32(threshold: float) -> np.float32:
    """Return the largest float32 up to a threshold, which the same float32 scores lie strictly above."""
    with np.errstate(over="ignore"):
        rounded = np.float32(threshold)
    return rounded if float(rounded) <= threshold else np.nextafter(rounded, np.float32(-np.inf))


def exceeds(scores: Float32Array, threshold: float | None, shape: tuple[int, int], *, native: bool) -> BoolArray:
    """Return where the scores lie strictly above a threshold, at image size.

    Parameters
    ----------
    scores : ndarray of float32, shape (h, w)
        Scores at the size of the map.
    threshold : float or None
        Compared without rounding; None gives an empty mask.
    shape : tuple of int
        Height and width of the image.
    native : bool
        Whether to enlarge the scores before the comparison (bilinearly) or the mask after it (to the nearest pixel).

    Returns
    -------
    ndarray of bool, shape (H, W)
        The mask.
    """
    if threshold is None:
        return np.zeros(shape, dtype=np.bool_)
    if native:
        return enlarge_map(scores, shape) > _largest_float32(threshold)
    return resize_mask(scores > _largest_float32(threshold), shape)


def _lowest_by_erosion(thresholds: tuple[ThresholdRecord, ...], settings: BinarizeSettings) -> dict[int, float]:
    """Return the lowest threshold for each side of the erosion: of masks of one map, it gives their union."""
    lowest: dict[int, float] = {}
    for threshold in thresholds:
        side_px = settings.mebin.erode_px if threshold.rule == "mebin" else settings.erode_px
        if threshold.value is not None:
            lowest[side_px] = min(threshold.value, lowest.get(side_px, math.inf))
    return lowest


def _eroded(scores: Float32Array, side_px: int, settings: BinarizeSettings) -> Float32Array:
    eroded = erode_scores(scores, side_px)
    return open_scores(eroded, side_px) if settings.compensate_erosion else eroded


def binarize_map(
    scores: Float32Array,
    shape: tuple[int, int],
    context: ImageContext,
    settings: BinarizeSettings,
    layers: Iterable[Layer] = (),
    *,
    least_evidence: float | None = None,
) -> tuple[BoolArray, tuple[ThresholdRecord, ...]]:
    """Turn one anomaly map into its coarse mask, the union of all enabled rules.

    Parameters
    ----------
    scores : ndarray of float32, shape (h, w)
        Raw scores.
    shape : tuple of int
        Height and width of the image.
    context : ImageContext
        Statistics for the thresholds.
    settings : BinarizeSettings
        Rules, erosion, extent or growth, scale and area filter.
    layers : iterable of Layer
        The maps that this one is the maximum of, finest cells first, in which extents are drawn; by default the map.
    least_evidence : float, optional
        What the evidence of a component must exceed, image px times score; None for components of any.

    Returns
    -------
    tuple
        Mask of bool, shape (H, W), and the threshold of each enabled rule and of the growth or extent. Heights above
        the mean of the validation maps say what ``peak_share`` trims.
    """
    mask, thresholds = _united(scores, shape, context, settings, layers)
    lowest = lowest_threshold([one for one in thresholds if one.finds])
    if least_evidence is not None and lowest is not None and lowest.value is not None:
        mask = drop_weak(mask, enlarge_map(scores, shape), lowest.value, least_evidence)
    return drop_small(mask, settings.min_area_px), thresholds


def _united(
    scores: Float32Array,
    shape: tuple[int, int],
    context: ImageContext,
    settings: BinarizeSettings,
    layers: Iterable[Layer],
) -> tuple[BoolArray, tuple[ThresholdRecord, ...]]:
    """Return the mask before components are dropped."""
    thresholds = find_thresholds(scores, context, settings)
    if settings.extent.enabled:
        return _drawn(layers or [Layer(scores)], shape, thresholds, context, settings)
    if settings.closing.enabled:
        return _closed(scores, shape, thresholds, settings)
    native = settings.at == "native"
    mask = np.zeros(shape, dtype=np.bool_)
    for side_px, threshold in _lowest_by_erosion(thresholds, settings).items():
        mask |= exceeds(_eroded(scores, side_px, settings), threshold, shape, native=native)
    if growing := growing_threshold(thresholds, context, settings):
        mask = grow_components(mask, exceeds(scores, growing.value, shape, native=native))
        thresholds = (*thresholds, growing)
    if settings.peak_share:
        mask = trim_halos(mask, enlarge_map(scores, shape), context.base, settings.peak_share)
    return mask, thresholds


def largest_evidence(
    scores: Float32Array,
    shape: tuple[int, int],
    context: ImageContext,
    settings: BinarizeSettings,
    layers: Iterable[Layer] = (),
) -> float:
    """Return the largest evidence of a component of a normal image, image px times score; 0 where nothing is found.

    Its parameters are those of :func:`binarize_map`.
    """
    mask, thresholds = _united(scores, shape, context, settings, layers)
    lowest = lowest_threshold([one for one in thresholds if one.finds])
    if lowest is None or lowest.value is None or not mask.any():
        return 0.0
    return float(component_evidence(find_components(mask), enlarge_map(scores, shape), lowest.value).max())


def _drawn(
    layers: Iterable[Layer],
    shape: tuple[int, int],
    thresholds: tuple[ThresholdRecord, ...],
    context: ImageContext,
    settings: BinarizeSettings,
) -> tuple[BoolArray, tuple[ThresholdRecord, ...]]:
    """Draw a defect in each layer around whatever exceeds a threshold there, unless a finer one drew most of it."""
    lowest, extent = lowest_threshold(thresholds), settings.extent
    mask = np.zeros(shape, dtype=np.bool_)
    if lowest is None:
        return mask, thresholds
    floor = extent_floor(lowest, context.normal, extent)
    for layer in layers:
        canvas = enlarge_map(layer.scores, shape) if settings.at == "native" else layer.scores
        seeds = np.zeros(canvas.shape, dtype=np.bool_)
        for side_px, threshold in _lowest_by_erosion(thresholds, settings).items():
            seeds |= exceeds(_eroded(layer.scores, side_px, settings), threshold, canvas.shape, native=True)
        outline = Outline(
            floor=floor.value or 0.0,
            base=median_quantile(context.normal, 0.5),
            share=extent.share,
            reach=extent.reach_cells * layer.cell_px * math.sqrt(canvas.size / (shape[0] * shape[1])),
            threshold=lowest.value or 0.0,
            depth=extent.depth,
        )
        mask |= drop_covered(resize_mask(draw_extents(canvas, seeds, outline), shape), mask)
    return mask, (*thresholds, floor)


def _closed(
    scores: Float32Array, shape: tuple[int, int], thresholds: tuple[ThresholdRecord, ...], settings: BinarizeSettings
) -> tuple[BoolArray, tuple[ThresholdRecord, ...]]:
    """Close what exceeds a threshold along lines; the mask is of image size."""
    lowest, closing = lowest_threshold(thresholds), settings.closing
    if lowest is None:
        return np.zeros(shape, dtype=np.bool_), thresholds
    canvas = enlarge_map(scores, shape) if settings.at == "native" else scores
    found, seeds = np.zeros(scores.shape, dtype=np.bool_), np.zeros(canvas.shape, dtype=np.bool_)
    for side_px, threshold in _lowest_by_erosion(thresholds, settings).items():
        eroded = _eroded(scores, side_px, settings)
        found |= exceeds(eroded, threshold, scores.shape, native=True)
        seeds |= exceeds(eroded, threshold, canvas.shape, native=True)
    closed = close_along_lines(found, closing.half_length(scores.shape), closing.directions)
    floor = closing_floor(lowest, closing)
    kept = (seeds | resize_mask(closed, canvas.shape)) & exceeds(canvas, floor.value, canvas.shape, native=True)
    return resize_mask(erode_ellipse(fill_holes(kept), closing.erode_px), shape), (*thresholds, floor)


def _check_scale(split: SplitStatistics, settings: BinarizeSettings, maps_path: Path) -> None:
    released = settings.mebin.enabled and settings.mebin.scores == "robis"
    if released and not 0.0 <= split.minimum <= split.maximum <= SCALE:
        raise ManifestError(
            f"{maps_path}: the scores of {split.split} reach from {split.minimum:g} to {split.maximum:g}, but "
            "binarize.mebin.scores: robis takes maps that lie on 0..255; set it to raw, or merge such maps"
        )


class NormalMap(NamedTuple):
    """The map of a normal image that components are weighed against."""

    path: Path
    """Where the manifest of its split lies."""
    manifest: MapsManifest
    record: MapRecord
    peak: float
    """Its highest score."""

    @property
    def id(self) -> str:
        """The image, for messages."""
        return self.record.id


class Binarizer:
    """Binarizes the maps of one split, each independently of the others.

    Parameters
    ----------
    maps_path : Path
        Where the manifest of the maps lies.
    maps : MapsManifest
        Fused maps of the split.
    calibrations : Calibrations
        Statistics of the split, of validation and of what else thresholds come from.
    settings : BinarizeSettings
        The resolved block.

    Raises
    ------
    ManifestError
        If the calibrations were not taken from these maps, lack the normal images, or tell that the scores do not
        lie on the scale that the settings say.
    """

    def __init__(
        self,
        maps_path: Path,
        maps: MapsManifest,
        calibrations: Calibrations,
        settings: BinarizeSettings,
    ) -> None:
        self._maps_path = maps_path
        self._maps = maps
        self._settings = settings
        split = calibrations.statistics(maps, maps.split)
        base = calibrations.statistics(maps, "validation").mean
        normal = normal_statistics(maps, settings, calibrations)
        _check_scale(split, settings, maps_path)
        self._calibrations = calibrations
        self.least_evidence: float | None = None
        self._photographs = normal_photographs(maps, settings, calibrations)
        self._contexts = {
            image.id: ImageContext(normal, split, image, base, self._photographs) for image in split.images
        }

    @property
    def method(self) -> str:
        """The enabled rules joined by ``+``."""
        return "+".join(self._settings.enabled_rules)

    def normal_maps(self, manifests: Mapping[Path, MapsManifest]) -> list[NormalMap]:
        """Return the maps of the normal images that thresholds come from, among the manifests of several splits.

        Those that the rule ``peaks`` leaves out as odd are left out here, too. Raises ManifestError if their
        calibrations are of other maps.
        """
        found = [
            NormalMap(path, maps, record, image.maximum)
            for path, maps in manifests.items()
            if maps.split in NORMAL_SPLITS[self._settings.normal]
            for record, image in zip(maps.maps, self._calibrations.statistics(maps, maps.split).images, strict=True)
        ]
        if not (found and self._settings.peaks.enabled):
            return found
        fence = robust_fence([normal.peak for normal in found], self._settings.peaks.k)
        return [normal for normal in found if normal.peak <= fence]

    def evidence(self, normal: NormalMap) -> float:
        """Return the largest evidence of a component of a normal image; its map is read only if a threshold lies below.

        Raises ManifestError if the map is not the one that its manifest describes.
        """
        context = next(iter(self._contexts.values()))
        lowest = lowest_threshold(find_thresholds(NO_SCORES, context, self._settings))
        if lowest is None or lowest.value is None or normal.peak <= lowest.value:
            return 0.0
        scores, shape = load_map(normal.path, normal.record), (normal.record.image_height, normal.record.image_width)
        layers = read_layers(normal.path, normal.manifest, normal.record, scores)
        return largest_evidence(scores, shape, context, self._settings, layers)

    def weigh(self, evidences: Sequence[float]) -> None:
        """Let masks lose every component that has no more evidence than normal images, the largest one of each given.

        The rank is that of :func:`seamark.masks.thresholds.conformal_threshold`, and so would be the promise, if none
        were left out as odd; of fewer normal images than it needs none may have more.
        """
        if self._settings.evidence_alpha is not None and evidences:
            rank = min(conformal_rank(self._settings.evidence_alpha, len(evidences)), len(evidences))
            self.least_evidence = sorted(evidences)[rank - 1]

    def warnings(self, masks: Sequence[MaskRecord]) -> tuple[MaskWarning, ...]:
        """Return what a person should know of the masks of the split, all that :meth:`write` returned."""
        return tuple(mask_warnings(self._maps, masks, self._photographs))

    def write(self, record: MapRecord, folder: Path, published_as: str) -> MaskRecord:
        """Binarize one map and write its mask into a folder.

        Parameters
        ----------
        record : MapRecord
            The map.
        folder : Path
            Folder to write to.
        published_as : str
            Name that the folder has beside the manifest in the end.

        Returns
        -------
        MaskRecord
            Entry for the manifest.

        Raises
        ------
        ManifestError
            If the map is not the one that its manifest describes.
        """
        scores = load_map(self._maps_path, record)
        shape = (record.image_height, record.image_width)
        layers = read_layers(self._maps_path, self._maps, record, scores)
        mask, thresholds = binarize_map(
            scores, shape, self._contexts[record.id], self._settings, layers, least_evidence=self.least_evidence
        )
        return save_mask(folder, published_as, record.id, mask, thresholds=thresholds)
