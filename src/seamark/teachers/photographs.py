"""Photographs that a teacher is distilled on, and those it is measured on."""

from collections.abc import Sequence
from pathlib import Path

from seamark.data.root import category_folders
from seamark.errors import DataError
from seamark.files.plain import IMAGE_SUFFIXES
from seamark.learning.batches import counted_random
from seamark.settings.base import Layout
from seamark.settings.pixels import PixelSettings
from seamark.settings.teacher import DistillSettings
from seamark.teachers.crops import CroppedPhotographs
from seamark.teachers.naming import training_photographs


def find_photographs(
    settings: DistillSettings, root: Path, layout: Layout, *, train_images: int | None, seed: int
) -> list[Path]:
    """List the photographs of the configured folder and its subfolders, or the training photographs at hand.

    They are sorted, and none is of a test split. ``train_images`` is how many are taken of each category, None for all.

    Raises
    ------
    DataError
        If there are fewer than two, one to learn from and one to measure on.
    """
    if settings.image_folder is None:
        files = training_photographs(root, category_folders(root, layout), layout, train_images, seed)
        where = root
    else:
        where = Path(settings.image_folder)
        files = sorted(path for path in where.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if len(files) < 2:
        raise DataError(f"{where}: {len(files)} photographs to distil the teacher on; it takes at least 2")
    return files


def split_photographs(
    files: Sequence[Path], settings: DistillSettings, seed: int, pixels: PixelSettings | None = None
) -> tuple[CroppedPhotographs, CroppedPhotographs]:
    """Return the photographs to learn from and those held out, drawn at random by a seed.

    Those of the data root are decoded as ``pixels`` say, those of a configured folder as plain ones.
    """
    pixels = pixels if settings.image_folder is None else None
    order = counted_random(seed, "held out photographs").permutation(len(files))
    number = max(1, round(settings.held_out_share * len(files)))
    side = 2 * settings.input_px
    held_out, train = (sorted(int(place) for place in part) for part in (order[:number], order[number:]))
    return (
        CroppedPhotographs([files[place] for place in train], side, settings, pixels),
        CroppedPhotographs([files[place] for place in held_out], side, settings, pixels),
    )
