"""A guided filter of the anomaly map as a segmenter: each component is drawn anew where the photograph has its edges.

Source: He, Sun and Tang, "Guided Image Filtering", ECCV 2010, equations 5, 6 and 8, with the grey values of the
photograph as the guide. Within a window the filtered scores are a linear function of the photograph: what features and
smoothing have spread across an edge of the photograph ends there, and where it is even the map stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from seamark.files.images import BoolArray, Float32Array, UInt8Array
from seamark.masks.components import find_components
from seamark.masks.segmenter import Patch
from seamark.settings.refine import GuidedSettings
from seamark.tiles.geometry import Box


def guided_filter(guide: Float32Array, scores: Float32Array, settings: GuidedSettings) -> Float32Array:
    """Filter scores by a photograph.

    Parameters
    ----------
    guide : ndarray of float32, shape (H, W)
        Grey values of the photograph, 0..1.
    scores : ndarray of float32, shape (H, W)
        Raw scores.
    settings : GuidedSettings
        Radius and epsilon.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Filtered scores, in the unit of the scores. Windows that reach beyond the image see it mirrored.
    """
    side_px = 2 * settings.radius_px + 1

    def mean(values: Float32Array) -> Float32Array:
        return np.asarray(cv2.blur(values, (side_px, side_px), borderType=cv2.BORDER_REFLECT_101), dtype=np.float32)

    guide_mean, score_mean = mean(guide), mean(scores)
    variance = mean(guide * guide) - guide_mean * guide_mean
    covariance = mean(guide * scores) - guide_mean * score_mean
    slope = (covariance / (variance + np.float32(settings.epsilon))).astype(np.float32, copy=False)
    return mean(slope) * guide + mean(score_mean - slope * guide_mean)


@dataclass(frozen=True)
class GuidedFilter:
    """Draws each component anew from the filtered map, at the level that its outline has in the map itself on average.

    That level is the component's own, whatever rule has drawn it. Taken from the filtered map it would give the same
    outline again.

    Attributes
    ----------
    settings : GuidedSettings
        Radius and epsilon.
    """

    settings: GuidedSettings

    def segment(self, image: UInt8Array, coarse: BoolArray, scores: Float32Array, boxes: Sequence[Box]) -> list[Patch]:
        """Segment one image; see :class:`seamark.masks.segmenter.Segmenter`.

        Parameters
        ----------
        image : ndarray of uint8, shape (H, W, C)
            Grey or RGB photograph.
        coarse : ndarray of bool, shape (H, W)
            Coarse mask.
        scores : ndarray of float32, shape (H, W)
            Its anomaly map.
        boxes : sequence of Box
            Prompts in image px, each with at least one coarse pixel.

        Returns
        -------
        list of Patch
            Each reaches as far beyond its box as the filter does, two radii, and holds all there that is as high.
        """
        grey = image[:, :, 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        filtered = guided_filter(grey.astype(np.float32) / np.float32(255), scores, self.settings)
        return [self._redraw(filtered, coarse, scores, box) for box in boxes]

    def _redraw(self, filtered: Float32Array, coarse: BoolArray, scores: Float32Array, box: Box) -> Patch:
        x0, y0, x1, y1 = box
        level = scores[y0:y1, x0:x1][_outline(coarse[y0:y1, x0:x1])].mean(dtype=np.float64)
        reach = 2 * self.settings.radius_px
        left, top = max(0, x0 - reach), max(0, y0 - reach)
        return Patch(left, top, filtered[top : y1 + reach, left : x1 + reach] >= level)


def _outline(coarse: BoolArray) -> BoolArray:
    """Return the pixels of the largest component that have a neighbour outside it."""
    components = find_components(np.ascontiguousarray(coarse))
    largest = components.labels == components.areas.argmax() + 1
    inner = cv2.erode(largest.view(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(largest & (inner == 0), dtype=np.bool_)
