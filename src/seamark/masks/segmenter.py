"""The interface of a box-prompted segmenter, as the refine stage sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from seamark.files.images import BoolArray, Float32Array, UInt8Array
from seamark.tiles.geometry import Box


@dataclass(frozen=True)
class Patch:
    """A mask that is false outside a window of the image.

    Attributes
    ----------
    x, y : int
        Left and top of the window in image px.
    mask : ndarray of bool, shape (h, w)
        Foreground within the window; without any foreground the segmenter found nothing.
    """

    x: int
    y: int
    mask: BoolArray


class Segmenter(Protocol):
    """Finds the outline of what each box points at."""

    def segment(self, image: UInt8Array, coarse: BoolArray, scores: Float32Array, boxes: Sequence[Box]) -> list[Patch]:
        """Segment one image.

        Parameters
        ----------
        image : ndarray of uint8, shape (H, W, C)
            The photograph, C is 1 for grey and 3 for RGB.
        coarse : ndarray of bool, shape (H, W)
            Coarse mask that the boxes come from.
        scores : ndarray of float32, shape (H, W)
            Anomaly map that the mask comes from, at the size of the image.
        boxes : sequence of Box
            Prompts in image px.

        Returns
        -------
        list of Patch
            One per box, in their order; each depends on nothing but this image, the coarse mask, the map and its box.
        """
        ...
