"""GrabCut as a segmenter: one graph cut on a crop of the photograph per box.

Source: Rother, Kolmogorov and Blake, "GrabCut", SIGGRAPH 2004, in OpenCV's implementation. Initial labels: the middle
of the coarse component is sure foreground, the rest of the coarse mask probable foreground, the rest of the box
probable background and everything outside the box sure background. The middle keeps low-contrast defects from
vanishing: a coarse mask is usually too large, so most of what it calls foreground is background, but rarely its middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import cv2
import numpy as np

from seamark.files.images import BoolArray, Float32Array, UInt8Array
from seamark.masks.segmenter import Patch
from seamark.settings.refine import GrabCutSettings
from seamark.tiles.geometry import Box

SURE_DEPTH = 0.9
"""Coarse pixels at least this share of the largest depth inside the component are sure foreground."""

SMALL_SHARE = 0.15
"""A cut that keeps a smaller share of the coarse pixels in its box must stand out by its colour."""

WHOLE_SHARE = 0.9
"""So must a cut whose largest piece holds a smaller share of it."""

EVIDENT_STDS = 2.0
"""How far the mean colour of such a cut must lie from its surroundings, in standard deviations of these."""

SMOOTHING_PX = 0.7
"""Sigma of the Gaussian that takes pixel noise off the crop before the cut."""


def crop_window(box: Box, shape: tuple[int, int], settings: GrabCutSettings) -> Box:
    """Return the box with its margin, clipped to the image.

    Parameters
    ----------
    box : Box
        Prompt in image px.
    shape : tuple of int
        Height and width of the image.
    settings : GrabCutSettings
        Margin as a share of the longer side of the box and in px.

    Returns
    -------
    Box
        Window in image px.
    """
    x0, y0, x1, y1 = box
    margin = max(settings.margin_min_px, ceil(settings.margin * max(x1 - x0, y1 - y0)))
    return max(0, x0 - margin), max(0, y0 - margin), min(shape[1], x1 + margin), min(shape[0], y1 + margin)


def initial_labels(coarse: BoolArray, box: Box) -> UInt8Array:
    """Return GrabCut's initial labels.

    Parameters
    ----------
    coarse : ndarray of bool, shape (h, w)
        Coarse mask within the crop.
    box : Box
        Prompt in px of the crop; it holds at least one coarse pixel.

    Returns
    -------
    ndarray of uint8, shape (h, w)
        ``GC_BGD``, ``GC_PR_BGD``, ``GC_PR_FGD`` or ``GC_FGD`` per pixel.
    """
    x0, y0, x1, y1 = box
    inside = coarse[y0:y1, x0:x1]
    depth = cv2.distanceTransform(np.pad(inside, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    labels = np.full(coarse.shape, cv2.GC_BGD, dtype=np.uint8)
    labels[y0:y1, x0:x1] = np.where(inside, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    labels[y0:y1, x0:x1][depth >= SURE_DEPTH * depth.max()] = cv2.GC_FGD
    return labels


def cut(crop: UInt8Array, labels: UInt8Array, iterations: int) -> BoolArray:
    """Run GrabCut from initial labels.

    Parameters
    ----------
    crop : ndarray of uint8, shape (h, w, 3)
        Part of the photograph.
    labels : ndarray of uint8, shape (h, w)
        What :func:`initial_labels` returns.
    iterations : int
        Rounds of fitting the colour models and cutting.

    Returns
    -------
    ndarray of bool, shape (h, w)
        Foreground; empty when there is no background to compare with or nothing joins the sure foreground.
    """
    background = (labels == cv2.GC_BGD) | (labels == cv2.GC_PR_BGD)
    if not background.any():
        return np.zeros(labels.shape, dtype=np.bool_)
    refined, models = labels.copy(), (np.zeros((1, 65)), np.zeros((1, 65)))
    # OpenCV keeps one generator per thread, so seeding it right here makes the cut a function of its arguments alone.
    cv2.setRNGSeed(1)
    cv2.grabCut(crop, refined, (0, 0, 1, 1), *models, iterations, cv2.GC_INIT_WITH_MASK)
    sure, joined = refined == cv2.GC_FGD, refined == cv2.GC_PR_FGD
    return np.asarray((sure | joined) & joined.any(), dtype=np.bool_)


def is_evident(crop: UInt8Array, foreground: BoolArray, coarse_px: int) -> bool:
    """Return whether a cut may be believed.

    Where colour cannot tell a defect from its surroundings (a crease, a missing thread), GrabCut keeps a few grains
    of the texture. So a cut that keeps little of its prompt or falls into pieces must differ clearly from the rest of
    the crop.

    Parameters
    ----------
    crop : ndarray of uint8, shape (h, w, 3)
        Part of the photograph.
    foreground : ndarray of bool, shape (h, w)
        The cut.
    coarse_px : int
        Number of coarse pixels that prompted it.

    Returns
    -------
    bool
        Whether the cut is large and whole, or stands out.
    """
    rest = cv2.dilate(foreground.view(np.uint8), np.ones((5, 5), dtype=np.uint8)) == 0
    kept = np.count_nonzero(foreground)
    if not (kept and rest.any()):
        return True
    pieces = cv2.connectedComponentsWithStats(foreground.view(np.uint8), connectivity=8)[2]
    if kept >= SMALL_SHARE * coarse_px and pieces[1:, cv2.CC_STAT_AREA].max() >= WHOLE_SHARE * kept:
        return True
    difference = crop[foreground].mean(axis=0) - crop[rest].mean(axis=0)
    return bool(np.square(difference).sum() >= EVIDENT_STDS**2 * crop[rest].var(axis=0).sum())


def _prepare(pixels: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    """Return a crop as three smoothed channels of the given width and height."""
    shrunk = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
    smooth = cv2.GaussianBlur(shrunk, (0, 0), SMOOTHING_PX).reshape(shrunk.shape)
    return np.ascontiguousarray(np.broadcast_to(smooth, (*shrunk.shape[:2], 3)), dtype=np.uint8)


@dataclass(frozen=True)
class GrabCut:
    """Segments each box with GrabCut on a crop of the photograph.

    Attributes
    ----------
    settings : GrabCutSettings
        Margin, iterations and largest crop.
    """

    settings: GrabCutSettings

    def segment(
        self,
        image: UInt8Array,
        coarse: BoolArray,
        scores: Float32Array,  # noqa: ARG002
        boxes: Sequence[Box],
    ) -> list[Patch]:
        """Segment one image, box by box; see :class:`seamark.masks.segmenter.Segmenter`.

        Parameters
        ----------
        image : ndarray of uint8, shape (H, W, C)
            Grey or RGB photograph.
        coarse : ndarray of bool, shape (H, W)
            Coarse mask.
        scores : ndarray of float32, shape (H, W)
            Not looked at: the cut goes by colour.
        boxes : sequence of Box
            Prompts in image px, each with at least one coarse pixel.

        Returns
        -------
        list of Patch
            Empty patches where GrabCut finds nothing beyond its sure foreground, or nothing that is evident.
        """
        return [self._segment_box(image, coarse, box) for box in boxes]

    def _segment_box(self, image: UInt8Array, coarse: BoolArray, box: Box) -> Patch:
        x0, y0, x1, y1 = crop_window(box, coarse.shape, self.settings)
        width, height = x1 - x0, y1 - y0
        scale = min(1.0, self.settings.crop_max_px / max(width, height))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        labels = initial_labels(*_shrink_prompt(coarse[y0:y1, x0:x1], _moved(box, x0, y0), size))
        crop = _prepare(image[y0:y1, x0:x1], size)
        foreground = cut(crop, labels, self.settings.iterations)
        coarse_px = int(np.count_nonzero((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)))
        if not is_evident(crop, foreground, coarse_px):
            foreground = np.zeros_like(foreground)
        if size != (width, height):
            soft = cv2.resize(foreground.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
            foreground = np.asarray(soft >= 0.5, dtype=np.bool_)
        return Patch(x0, y0, foreground)


def _moved(box: Box, x: int, y: int) -> Box:
    return box[0] - x, box[1] - y, box[2] - x, box[3] - y


def _shrink_prompt(coarse: BoolArray, box: Box, size: tuple[int, int]) -> tuple[BoolArray, Box]:
    """Shrink a coarse mask and its box to a width and height without losing any thin part of it."""
    height, width = coarse.shape
    if size == (width, height):
        return coarse, box
    covered = cv2.resize(coarse.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    x_scale, y_scale = size[0] / width, size[1] / height
    x0, y0 = floor(box[0] * x_scale), floor(box[1] * y_scale)
    x1, y1 = min(size[0], ceil(box[2] * x_scale)), min(size[1], ceil(box[3] * y_scale))
    return np.asarray(covered, dtype=np.bool_), (x0, y0, x1, y1)
