"""Photographs under another light, as crop cuts them: detectors may learn from them, and thresholds be set by them."""

import zlib

import numpy as np

from seamark.files.images import UInt8Array
from seamark.settings.augmentation import WideSettings
from seamark.synthesis.photometric import wide_variant


def light_variant(
    settings: WideSettings, category: str, photograph: UInt8Array, image_id: str, version: int
) -> UInt8Array:
    """Return a photometric variant of a photograph, uint8 (H, W, C); version 0 is the photograph itself.

    Category, id of the photograph and number of the variant decide what is drawn from the ranges; nothing else does.
    """
    if version == 0:
        return photograph
    random = np.random.default_rng([zlib.crc32(category.encode()), zlib.crc32(image_id.encode()), version])
    return wide_variant(photograph, settings, random)


def variant_id(image_id: str, version: int) -> str:
    """Return the id of a variant: that of the photograph, and its number behind a tilde unless it is 0."""
    return f"{image_id}~{version}" if version else image_id


def photograph_id(variant: str) -> str:
    """Return the id of the photograph that a variant was made from."""
    return variant.rpartition("~")[0]
