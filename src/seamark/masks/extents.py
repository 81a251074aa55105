"""The extent of a defect: each component of a map drawn from its own peak, whatever its size.

Features look at a neighbourhood, so scores rise some way before the edge of a defect, as far for a small one as for a
large one. The outline at a share of the peak's height lies that far outside: a share alone draws a pit of 20 px
several times too large, and a missing part hardly so. With the reach of the features off, one rule draws both.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from seamark.files.images import BoolArray, Float32Array
from seamark.masks.components import find_components
from seamark.tiles.geometry import Box

LEAST_SHARE = 0.1
"""Share of the pixels inside the outline that always stays: where features reach further than that, nothing would."""


@dataclass(frozen=True)
class Outline:
    """What decides where a defect ends.

    Attributes
    ----------
    floor : float
        Score that no defect reaches below, in the unit of the scores.
    base : float
        Score of normal pixels, from which heights are counted, in the unit of the scores.
    share : float
        Height of the outline, features' reach included, as a share of that of the peak, 0..1.
    reach : float
        How far beyond the defect that outline lies, in pixels of the map that is drawn on.
    threshold : float
        Score that seeds exceed, in the unit of the scores.
    depth : float
        How far below the threshold an outline may lie, in multiples of what the peak rises above it: a component that
        hardly exceeds the threshold stays small, and none jumps from nothing to large where it comes to exceed it.
    """

    floor: float
    base: float
    share: float
    reach: float
    threshold: float = -math.inf
    depth: float = 3.0

    def level(self, peak: float) -> np.float64:
        """Return the score down to which the defect of a peak is seen, its surroundings included."""
        deepest = self.threshold - self.depth * max(0.0, peak - self.threshold)
        return np.float64(min(max(self.floor, deepest, self.base + self.share * (peak - self.base)), peak))

    def draw(self, scores: Float32Array, region: BoolArray) -> BoolArray:
        """Draw the defect of the peak of a region.

        Parameters
        ----------
        scores : ndarray of float32, shape (H, W)
            Raw scores.
        region : ndarray of bool, shape (H, W)
            Pixels that may belong to it, at least one.

        Returns
        -------
        ndarray of bool, shape (H, W)
            Of what rises to the level of the peak, the pixels with the highest scores: as many as a disc of that area
            has further inside than the reach, at least ``LEAST_SHARE`` of them and the peak.
        """
        half = region & (scores >= self.level(float(scores[region].max())))
        inside = scores[half]
        radius = math.sqrt(inside.size / math.pi)
        wanted = int(max(inside.size * max(0.0, 1.0 - self.reach / radius) ** 2, LEAST_SHARE * inside.size, 1.0))
        lowest = np.partition(inside, inside.size - wanted)[inside.size - wanted]
        return np.asarray(half & (scores >= lowest), dtype=np.bool_)


def draw_extents(scores: Float32Array, seeds: BoolArray, outline: Outline) -> BoolArray:
    """Draw the defects of a map.

    Parameters
    ----------
    scores : ndarray of float32, shape (H, W)
        Raw scores.
    seeds : ndarray of bool, shape (H, W)
        Pixels that only a defect has.
    outline : Outline
        Where a defect ends.

    Returns
    -------
    ndarray of bool, shape (H, W)
        In every 8-connected component above the floor that holds a seed, the defect of its peak. A further seed that is
        the highest as far as features reach, and lies further than that from what is drawn, is a defect of its own: a
        weak one does not vanish beside a strong one. What falls off from the edge of a strong one is none.
    """
    drawn = np.zeros_like(seeds)
    tops = np.zeros_like(seeds)
    pending = [*_holding((scores > np.float64(outline.floor)) | seeds, seeds, (0, 0))]
    for (x0, y0, x1, y1), region in pending:
        here = slice(y0, y1), slice(x0, x1)
        tops[here] |= _tops(scores[here], region, seeds[here], outline.reach)
    while pending:
        (x0, y0, x1, y1), region = pending.pop()
        here = slice(y0, y1), slice(x0, x1)
        own = region & tops[here]
        part = outline.draw(scores[here], _without_flanks(scores[here], region, own, outline))
        drawn[here] |= part
        away = cv2.distanceTransform((~part).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > outline.reach
        pending += _holding(region & away, own, (x0, y0))
    return drawn


def drop_covered(mask: BoolArray, finer: BoolArray) -> BoolArray:
    """Drop the components of a mask, bool (H, W), of which more than half lies in that of a map with finer cells."""
    components = find_components(mask)
    inside = np.bincount(components.labels[finer], minlength=len(components.areas) + 1)
    keep = np.concatenate([[False], 2 * inside[1:] <= components.areas])
    return np.asarray(keep[components.labels], dtype=np.bool_)


def _without_flanks(scores: Float32Array, region: BoolArray, tops: BoolArray, outline: Outline) -> BoolArray:
    """Cut a region to the surroundings of its highest top, if what rises above that is the flank of another defect."""
    top = scores[tops].max()
    if scores[region].max() == top:
        return region
    labels = find_components(region & (scores <= top) & (scores >= outline.level(float(top)))).labels
    return np.asarray(labels == labels[tops & (scores == top)][0], dtype=np.bool_)


def _tops(scores: Float32Array, region: BoolArray, seeds: BoolArray, reach: float) -> BoolArray:
    """Find the peak of a region, and its seeds that are as high as all of it in the square of the reach around them."""
    inside = np.where(region, scores, np.float32(-np.inf))
    side_px = 2 * max(1, int(reach)) + 1
    highest = inside >= cv2.dilate(inside, np.ones((side_px, side_px), dtype=np.uint8))
    return np.asarray(region & ((seeds & highest) | (inside == inside.max())), dtype=np.bool_)


def _holding(mask: BoolArray, points: BoolArray, origin: tuple[int, int]) -> Iterator[tuple[Box, BoolArray]]:
    """Yield the 8-connected components that hold a point: the box, moved by the origin, and the pixels in it."""
    found = mask & points
    if not found.any():
        return
    components = find_components(mask)
    for label in np.unique(components.labels[found]).tolist():
        x0, y0, x1, y1 = components.boxes[label - 1]
        moved = (x0 + origin[0], y0 + origin[1], x1 + origin[0], y1 + origin[1])
        yield moved, components.labels[y0:y1, x0:x1] == label
