"""Binary masks as 8-connected components: boxes, area filter, hole filling, erosion."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from seamark.files.images import BoolArray, Float32Array
from seamark.tiles.geometry import Box


@dataclass(frozen=True)
class Components:
    """The 8-connected components of a mask, in label order (top to bottom, left to right).

    Attributes
    ----------
    labels : ndarray of int32, shape (H, W)
        0 for background, 1 to n for the components.
    boxes : tuple of Box
        Box of component 1, 2, ... n.
    areas : ndarray of int64, shape (n,)
        Pixels of each component.
    """

    labels: npt.NDArray[np.int32]
    boxes: tuple[Box, ...]
    areas: npt.NDArray[np.int64]


def find_components(mask: BoolArray) -> Components:
    """Label the 8-connected components of a mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        Foreground.

    Returns
    -------
    Components
        Labels, boxes and areas.
    """
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    x, y, width, height, areas = statistics[1:].astype(np.int64).T
    boxes = tuple(zip(x.tolist(), y.tolist(), (x + width).tolist(), (y + height).tolist(), strict=True))
    return Components(labels=np.asarray(labels, dtype=np.int32), boxes=boxes, areas=areas)


def count_components(mask: BoolArray) -> int:
    """Return the number of 8-connected components of a mask of shape (H, W)."""
    return int(cv2.connectedComponents(np.ascontiguousarray(mask).view(np.uint8), connectivity=8)[0]) - 1


def choose_largest(areas: npt.NDArray[np.int64], top_n: int | None) -> list[int]:
    """Choose the largest components and put them in ascending order of area.

    Equal areas keep label order (docs/methods/robis.md#sam-refinement, step 2).

    Parameters
    ----------
    areas : ndarray of int64, shape (n,)
        Pixels of each component in label order.
    top_n : int or None
        How many to choose; None for all.

    Returns
    -------
    list of int
        Positions in ``areas``.
    """
    order: list[int] = np.argsort(areas, kind="stable").tolist()
    return order if top_n is None else order[-top_n:]


def drop_small(mask: BoolArray, min_area_px: int) -> BoolArray:
    """Remove 8-connected components with fewer than ``min_area_px`` pixels.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        Foreground.
    min_area_px : int
        Smallest area that stays; up to 1 nothing is removed.

    Returns
    -------
    ndarray of bool, shape (H, W)
        The filtered mask.
    """
    if min_area_px <= 1 or not mask.any():
        return mask
    components = find_components(mask)
    stays = np.concatenate([[False], components.areas >= min_area_px])
    return np.asarray(stays[components.labels], dtype=np.bool_)


def component_evidence(components: Components, scores: Float32Array, threshold: float) -> npt.NDArray[np.float64]:
    """Weigh components: the sum of what their scores rise above a threshold, area times mean excess.

    Parameters
    ----------
    components : Components
        Of a mask of shape (H, W).
    scores : ndarray of float32, shape (H, W)
        Raw scores.
    threshold : float
        In the unit of the scores; what lies below it counts nothing.

    Returns
    -------
    ndarray of float64, shape (n,)
        Image px times score, in label order.
    """
    inside = components.labels > 0
    excess = np.maximum(scores[inside].astype(np.float64) - threshold, 0.0)
    sums = np.bincount(components.labels[inside] - 1, weights=excess, minlength=len(components.boxes))
    return sums.astype(np.float64)


def drop_weak(mask: BoolArray, scores: Float32Array, threshold: float, least: float) -> BoolArray:
    """Remove the 8-connected components of a mask, (H, W), whose :func:`component_evidence` does not exceed ``least``.

    The scores are float32 of the same shape.
    """
    components = find_components(mask)
    stays = np.concatenate([[False], component_evidence(components, scores, threshold) > least])
    return np.asarray(stays[components.labels], dtype=np.bool_)


def grow_components(seeds: BoolArray, wider: BoolArray) -> BoolArray:
    """Add the 8-connected components of a wider mask that hold a seed (hysteresis).

    Parameters
    ----------
    seeds, wider : ndarray of bool, shape (H, W)
        Foreground of a high and of a low threshold.

    Returns
    -------
    ndarray of bool, shape (H, W)
        The seeds and every component of ``wider`` that has at least one of them.
    """
    if not seeds.any():
        return seeds
    number, labels = cv2.connectedComponents(np.ascontiguousarray(wider).view(np.uint8), connectivity=8)
    stays = np.zeros(number, dtype=np.bool_)
    stays[labels[seeds]] = True
    stays[0] = False
    return np.asarray(stays[labels] | seeds, dtype=np.bool_)


def trim_halos(mask: BoolArray, scores: Float32Array, base: float, share: float) -> BoolArray:
    """Keep of every 8-connected component what rises to a share of its own peak.

    A defect lifts the scores around it as far as features reach, the more the stronger it is: one threshold that finds
    weak defects draws strong ones too large.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        The components.
    scores : ndarray of float32, shape (H, W)
        Scores that heights are taken from.
    base : float
        Score that heights are counted from, in the unit of the scores.
    share : float
        Pixels lower than this share of the peak of their component are dropped, 0..1; 0 keeps all. A component whose
        peak does not rise above the base stays as it is.

    Returns
    -------
    ndarray of bool, shape (H, W)
        The trimmed mask; every component keeps at least its peak.
    """
    if share == 0.0 or not mask.any():
        return mask
    number, labels = cv2.connectedComponents(np.ascontiguousarray(mask).view(np.uint8), connectivity=8)
    component, heights = labels[mask].astype(np.intp), scores[mask].astype(np.float64) - base
    peaks = np.full(number, -np.inf)
    np.maximum.at(peaks, component, heights)
    peak = peaks[component]
    trimmed = np.zeros_like(mask)
    trimmed[mask] = (heights >= share * peak) | (peak <= 0.0)
    return trimmed


def resize_mask(mask: BoolArray, shape: tuple[int, int]) -> BoolArray:
    """Bring a mask to another size by picking the pixel at each centre.

    Shrinking undoes an enlargement to the nearest pixel exactly.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        Foreground.
    shape : tuple of int
        Wanted height and width.

    Returns
    -------
    ndarray of bool, shape (H, W)
        The mask at the wanted size.
    """
    resized = cv2.resize(mask.view(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized.view(np.bool_), dtype=np.bool_)


def enlarge_map(scores: Float32Array, shape: tuple[int, int]) -> Float32Array:
    """Bring a map to image size, bilinearly with half-pixel centres.

    Parameters
    ----------
    scores : ndarray of float32, shape (h, w)
        Scores.
    shape : tuple of int
        Height and width of the image.

    Returns
    -------
    ndarray of float32, shape (H, W)
        The enlarged map; the map itself when it has this size already.
    """
    if scores.shape == shape:
        return scores
    enlarged = cv2.resize(scores, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return enlarged.astype(np.float32, copy=False)


def fill_holes(mask: BoolArray) -> BoolArray:
    """Fill background that no 4-connected path joins to the outside (docs/methods/robis.md#sam-refinement, step 7).

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        Foreground; what lies outside the image counts as background.

    Returns
    -------
    ndarray of bool, shape (H, W)
        Contains ``mask``.
    """
    padded = np.pad(mask, 1).view(np.uint8)
    cv2.floodFill(padded, None, (0, 0), 2, flags=4)
    return np.asarray(padded[1:-1, 1:-1] != 2, dtype=np.bool_)


def erode_scores(scores: Float32Array, side_px: int) -> Float32Array:
    """Take the minimum over a square, which erodes all masks ``scores > t`` at once.

    The square reaches from ``-(side // 2)`` to ``side - side // 2 - 1`` px: an even one is anchored right and below its
    centre. What lies outside the map counts as foreground (docs/methods/robis.md#binarisation).

    Parameters
    ----------
    scores : ndarray of float32, shape (H, W)
        Raw scores.
    side_px : int
        Side of the square; up to 1 nothing happens.

    Returns
    -------
    ndarray of float32, shape (H, W)
        ``erode_scores(scores, side) > t`` equals the erosion of ``scores > t``.
    """
    if side_px <= 1:
        return scores
    eroded = cv2.erode(scores, np.ones((side_px, side_px), dtype=np.uint8))
    return eroded.astype(np.float32, copy=False)


def open_scores(eroded: Float32Array, side_px: int) -> Float32Array:
    """Take the maximum over the mirrored square, which gives all eroded masks back what still stands of them.

    Parameters
    ----------
    eroded : ndarray of float32, shape (H, W)
        What :func:`erode_scores` made with the same side.
    side_px : int
        Side of the square; up to 1 nothing happens.

    Returns
    -------
    ndarray of float32, shape (H, W)
        ``open_scores(erode_scores(scores, side), side) > t`` equals the opening of ``scores > t``: inside the image it
        keeps every pixel that some square within the mask covers.
    """
    if side_px <= 1:
        return eroded
    square, anchor = np.ones((side_px, side_px), dtype=np.uint8), side_px - 1 - side_px // 2
    return cv2.dilate(eroded, square, anchor=(anchor, anchor)).astype(np.float32, copy=False)
