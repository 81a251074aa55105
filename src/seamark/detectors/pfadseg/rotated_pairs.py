"""Pairs of a tile and its anomalous twin of which both are rotated by the same angle.

Source: DeSTSeg turns products without a fixed place (PFADSeg specification, section 4.9).
"""

import cv2
import numpy as np

from seamark.files.images import BoolArray, UInt8Array
from seamark.learning.anomalous_pairs import Pair, PairMaker
from seamark.learning.batches import TileReader
from seamark.settings.synthesis import SynthesisSettings

FILL = 114
"""Grey value of what comes in at the border."""


class RotatedPairMaker(PairMaker):
    """Turns a tile before its anomaly is drawn: by quarters, if it is square, and by up to ``turn_deg`` degrees."""

    def __init__(
        self, reader: TileReader, synthesis: SynthesisSettings, *, quarter_turns: bool, turn_deg: float
    ) -> None:
        super().__init__(reader, synthesis)
        self.quarter_turns, self.turn_deg = quarter_turns, turn_deg

    def __call__(self, tile: int, anomaly: np.random.Generator, augmentation: np.random.Generator) -> Pair:
        """Make a pair of a tile, with a generator for the anomaly and one for the turn."""
        quarters = int(augmentation.integers(4)) if self.quarter_turns else 0
        angle = float(augmentation.uniform(-self.turn_deg, self.turn_deg))
        foreground = self.foregrounds(tile)
        return self._pair(
            rotated_pixels(self.reader.pixels(tile), quarters, angle),
            None if foreground is None else rotated_mask(foreground, quarters, angle),
            anomaly,
        )


def rotated_pixels(tile: UInt8Array, quarters: int, angle_deg: float) -> UInt8Array:
    """Turn a tile, uint8 (H, W, 3), anticlockwise by quarters and by an angle; what comes in at its border is grey."""
    return _rotated(tile, quarters, angle_deg, cv2.INTER_LINEAR, FILL)


def rotated_mask(foreground: BoolArray, quarters: int, angle_deg: float) -> BoolArray:
    """Turn a mask, bool (H, W), as its tile; what comes in at its border is not foreground."""
    return _rotated(foreground.view(np.uint8), quarters, angle_deg, cv2.INTER_NEAREST, 0).view(np.bool_)


def _rotated(values: UInt8Array, quarters: int, angle_deg: float, interpolation: int, fill: int) -> UInt8Array:
    values = np.ascontiguousarray(np.rot90(values, quarters))
    if not angle_deg:
        return values
    height, width = values.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle_deg, 1.0)
    rotated = cv2.warpAffine(values, turn, (width, height), flags=interpolation, borderValue=(fill, fill, fill))
    return np.asarray(rotated, dtype=np.uint8)
