"""Panels of an overlay strip: photographs, colour-mapped scores and contours that stay visible at any scale."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from seamark.files.images import BoolArray, Float32Array, UInt8Array
from seamark.manifests.calibration import SplitStatistics
from seamark.manifests.preview import LayerName
from seamark.preview.sheets import BACKGROUND, MAX_JPEG_PX, Colour
from seamark.tiles.geometry import fold_count

COARSE: Colour = (255, 176, 0)
REFINED: Colour = (255, 88, 196)
TRUTH: Colour = (64, 224, 255)
HALO: Colour = (0, 0, 0)
MASK_COLOURS: dict[LayerName, Colour] = {"coarse": COARSE, "refined": REFINED, "truth": TRUTH}

RANGE_DEVIATIONS = 6.0
"""Standard deviations above the validation mean that the colour range covers at least."""
TINY_PX = 8
"""A component with a longer side below this on its panel is marked by a circle."""
MAX_CIRCLES = 64
"""Only the largest tiny components get a circle, so that a noisy mask is not buried under circles."""
FOLD_GAP_PX = 3
"""Between the rows of a folded panel."""
FIXED_POINT_BITS = 4
"""Sub-pixel bits of contour coordinates as OpenCV draws them."""


def colour_range(validation: SplitStatistics) -> tuple[float, float]:
    """Return the scores of the first and the last colour, one range for all splits of a category.

    It starts at the lowest quantile of the validation scores and ends at their maximum, or six standard deviations
    above their mean if that is higher. Test images have no part in it.

    Parameters
    ----------
    validation : SplitStatistics
        Of the category.

    Returns
    -------
    tuple of float
        Lower and upper end in raw score units; the upper end is always greater.
    """
    low = min(validation.quantiles.values(), default=validation.minimum)
    high = max(validation.maximum, validation.mean + RANGE_DEVIATIONS * validation.std)
    return (low, high) if high > low else (low, low + 1.0)


def panel_size(shape: tuple[int, ...], longer_side: int) -> tuple[int, int]:
    """Return height and width in px of a panel with the aspect ratio of an image of shape (H, W, ...).

    The longer side is that of the panel as :func:`folded` lays it out; unfolded it is no longer than a JPEG can be.
    """
    (height, width), folds = shape[:2], fold_count(shape)
    longer, shorter = max(height, width), min(height, width)
    scale = min(longer_side / max(longer / folds, shorter * folds), MAX_JPEG_PX / longer)
    return max(1, round(height * scale)), max(1, round(width * scale))


def folded(panel: UInt8Array, shape: tuple[int, ...]) -> UInt8Array:
    """Lay the panel of a long image of shape (H, W, ...) out in rows like a text, one of a high image in columns.

    Both are read from the upper left; panel and result are uint8 (h, w, 3). Other panels come back as they are.
    """
    folds = fold_count(shape)
    if folds == 1:
        return panel
    lying = panel if shape[1] >= shape[0] else panel.swapaxes(0, 1)
    length = math.ceil(lying.shape[1] / folds)
    rows = np.full((folds, len(lying) + FOLD_GAP_PX, length, 3), BACKGROUND, np.uint8)
    for number, row in enumerate(rows):
        part = lying[:, number * length : (number + 1) * length]
        row[: len(part), : part.shape[1]] = part
    sheet = rows.reshape(-1, length, 3)[:-FOLD_GAP_PX]
    return np.ascontiguousarray(sheet if lying is panel else sheet.swapaxes(0, 1))


def photograph_panel(image: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    """Scale a photograph to a panel.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 1) or (H, W, 3)
        Grey or RGB.
    size : tuple of int
        Height and width of the panel in px.

    Returns
    -------
    ndarray of uint8, shape (size[0], size[1], 3)
        RGB.
    """
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    scaled = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if scaled.ndim == 2:
        scaled = np.repeat(scaled[:, :, np.newaxis], 3, axis=2)
    return np.ascontiguousarray(scaled, dtype=np.uint8)


def map_panel(anomaly_map: Float32Array, size: tuple[int, int], score_range: tuple[float, float]) -> UInt8Array:
    """Colour a map with inferno, a perceptually uniform colour map; peaks survive the scaling.

    Parameters
    ----------
    anomaly_map : ndarray of float32, shape (h, w)
        Raw scores.
    size : tuple of int
        Height and width of the panel in px.
    score_range : tuple of float
        Scores of the first and the last colour; scores beyond it are clipped.

    Returns
    -------
    ndarray of uint8, shape (size[0], size[1], 3)
        RGB.
    """
    steps = [side / panel for side, panel in zip(anomaly_map.shape, size, strict=True)]
    if max(steps) > 1.0:
        # Averaging would hide a defect of a few px; the maximum of the neighbourhood of each sample keeps it.
        reach = [2 * math.ceil(step / 2.0) + 1 for step in steps]
        peaks = cv2.dilate(anomaly_map, np.ones(reach, np.uint8))
        scaled = cv2.resize(peaks, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    else:
        scaled = cv2.resize(anomaly_map, size[::-1], interpolation=cv2.INTER_LINEAR)
    low, high = score_range
    level = np.clip((scaled.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    return colours(np.rint(level * 255.0).astype(np.uint8))


def colours(levels: UInt8Array) -> UInt8Array:
    """Look levels 0..255 of shape (h, w) up in the colour map; returns RGB uint8 of shape (h, w, 3)."""
    coloured = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(coloured[:, :, ::-1], dtype=np.uint8)


def draw_contours(panel: UInt8Array, mask: BoolArray, colour: Colour, line_px: int) -> UInt8Array:
    """Draw the outlines of a mask on a panel, scaled first and drawn then, so that no component can vanish.

    Parameters
    ----------
    panel : ndarray of uint8, shape (h, w, 3)
        RGB; left as it is.
    mask : ndarray of bool, shape (H, W)
        Mask at the size of the photograph.
    colour : tuple of int
        RGB of the line, which gets a black halo.
    line_px : int
        Width of the line on the panel.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        A copy with outlines; components that are tiny on the panel are circled.
    """
    drawn = panel.copy()
    _draw_outlines(drawn, mask, (HALO, colour), line_px, cv2.LINE_AA)
    return drawn


def mask_panel(mask: BoolArray, size: tuple[int, int], line_px: int) -> UInt8Array:
    """Scale a mask to a panel of four levels, with outlines as :func:`draw_contours` draws them.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        Mask at the size of the photograph.
    size : tuple of int
        Height and width of the panel in px.
    line_px : int
        Width of the outlines on the panel.

    Returns
    -------
    ndarray of uint8, shape (size[0], size[1])
        0 beyond the mask, 1 inside it, 2 on the halo of an outline, 3 on the outline.
    """
    panel = np.array(cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    _draw_outlines(panel, mask, ((2,), (3,)), line_px, cv2.LINE_8)
    return panel


def _draw_outlines(
    panel: UInt8Array, mask: BoolArray, shades: tuple[Sequence[int], Sequence[int]], line_px: int, line_type: int
) -> None:
    """Draw halo and line of all outlines of a mask in two shades onto a panel."""
    contours, hierarchy = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return
    scale = np.array([panel.shape[1] / mask.shape[1], panel.shape[0] / mask.shape[0]])
    outlines = [(contour[:, 0, :] + 0.5) * scale - 0.5 for contour in contours]
    wide = [outline for outline in outlines if _extent(outline) >= TINY_PX]
    outer = [outline for outline, links in zip(outlines, hierarchy[0], strict=True) if links[3] < 0]
    circles = _tiny_centres(outer)
    # The halo of a tiny outline would cover the defect that it is about.
    for lines, shade, width in ((wide, shades[0], line_px + 2), (outlines, shades[1], line_px)):
        fixed = [np.rint(outline * (1 << FIXED_POINT_BITS)).astype(np.int32) for outline in lines]
        cv2.polylines(panel, fixed, True, shade, width, line_type, FIXED_POINT_BITS)
        for centre in circles:
            cv2.circle(panel, centre, TINY_PX + 3 * line_px, shade, width, line_type)


def _extent(outline: npt.NDArray[np.float64]) -> float:
    return float((outline.max(axis=0) - outline.min(axis=0)).max())


def _tiny_centres(outer: list[npt.NDArray[np.float64]]) -> list[tuple[int, int]]:
    """Return the centres (x, y) of components that are tiny on the panel, the largest first."""
    tiny = []
    for outline in outer:
        if _extent(outline) < TINY_PX:
            x, y = (outline.max(axis=0) + outline.min(axis=0)) / 2.0
            tiny.append((-_extent(outline), round(float(x)), round(float(y))))
    return [(x, y) for _, x, y in sorted(tiny)[:MAX_CIRCLES]]


def tint(panel: UInt8Array, mask: BoolArray, colour: Colour) -> UInt8Array:
    """Blend a third of a colour into the masked part of a panel.

    Parameters
    ----------
    panel : ndarray of uint8, shape (h, w, 3)
        RGB; left as it is.
    mask : ndarray of bool, shape (H, W)
        Mask at the size of the photograph.
    colour : tuple of int
        RGB.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        The tinted copy.
    """
    size = (panel.shape[1], panel.shape[0])
    covered = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    blend = (panel.astype(np.uint16) * 2 + np.array(colour, dtype=np.uint16)) // 3
    tinted: UInt8Array = np.where(covered[:, :, np.newaxis], blend, panel).astype(np.uint8)
    return tinted
