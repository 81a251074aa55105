"""The product's place on a tile, so that no anomaly is drawn beside it."""

import logging
from collections.abc import Callable

import cv2
import numpy as np

from seamark.files.images import BoolArray, UInt8Array
from seamark.settings.synthesis import ForegroundSettings

LOG = logging.getLogger(__name__)


def _otsu_dark(pixels: UInt8Array, sigma_px: float) -> BoolArray:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if sigma_px:
        grey = cv2.GaussianBlur(grey, (0, 0), sigma_px)
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return np.asarray(grey <= threshold, dtype=np.bool_)


def _otsu_border(pixels: UInt8Array, sigma_px: float) -> BoolArray:
    dark = _otsu_dark(pixels, sigma_px)
    border = np.concatenate([dark[0], dark[-1], dark[1:-1, 0], dark[1:-1, -1]])
    return ~dark if 2 * np.count_nonzero(border) > border.size else dark


def _grabcut(pixels: UInt8Array, iterations: int) -> BoolArray:
    height, width = pixels.shape[:2]
    labels, models = np.zeros((height, width), dtype=np.uint8), (np.zeros((1, 65)), np.zeros((1, 65)))
    # OpenCV keeps one generator per thread, so seeding it right here makes the cut a function of its arguments alone.
    cv2.setRNGSeed(1)
    box = (1, 1, width - 1, height - 1)
    cv2.grabCut(np.ascontiguousarray(pixels[:, :, ::-1]), labels, box, *models, iterations, cv2.GC_INIT_WITH_RECT)
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), dtype=np.bool_)


def foreground_mask(pixels: UInt8Array, settings: ForegroundSettings) -> BoolArray | None:
    """Find the product on a tile without defects, uint8 (H, W, 3): bool (H, W), True on the product.

    None for the whole tile, where the method is ``none`` or the share that it finds is not believed.

    Source: docs/methods/urd.md#foreground.
    """
    if settings.method == "none":
        return None
    if settings.method == "grabcut":
        found = _grabcut(pixels, settings.grabcut_iterations)
    else:
        otsu = _otsu_dark if settings.method == "otsu_dark" else _otsu_border
        found = otsu(pixels, settings.blur_sigma_px)
    share = np.count_nonzero(found) / found.size
    return found if settings.share_min <= share <= settings.share_max else None


class ForegroundMasks:
    """Foregrounds of training tiles, each found once and kept as bits.

    ``read`` gives the pixels of a tile, uint8 (H, W, 3). The first tile without a believable foreground is warned of,
    further ones are only noted.
    """

    def __init__(self, read: Callable[[int], UInt8Array], settings: ForegroundSettings) -> None:
        self.read, self.settings = read, settings
        self._kept: dict[int, tuple[UInt8Array, int] | None] = {}
        """Rows of masks at eight pixels a byte, and their width."""

    def __call__(self, tile: int) -> BoolArray | None:
        """Return the foreground of a tile, bool (H, W), or None for the whole tile; any thread may ask."""
        if self.settings.method == "none":
            return None
        # Threads that ask for one tile at the same moment all look for it; what they find is the same.
        if tile not in self._kept:
            self._kept[tile] = self._found(tile)
        found = self._kept[tile]
        return None if found is None else np.unpackbits(found[0], axis=1, count=found[1]).view(np.bool_)

    def _found(self, tile: int) -> tuple[UInt8Array, int] | None:
        found = foreground_mask(self.read(tile), self.settings)
        if found is not None:
            return np.packbits(found, axis=1), found.shape[1]
        log = LOG.debug if None in self._kept.values() else LOG.warning
        log("tile %d: the foreground by %s is not believable, so the whole tile counts", tile, self.settings.method)
        return None
