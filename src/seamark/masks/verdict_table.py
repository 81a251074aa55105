"""Verdicts as a table for people and spreadsheets (docs/verdicts.md has the meaning of every column)."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from seamark.files.atomic import atomic_write
from seamark.files.tables import as_text
from seamark.manifests.verdict import Basis, ImageVerdict, VerdictManifest

COLUMNS = (
    "category",
    "split",
    "image",
    "answer",
    "p",
    "percentile",
    "score",
    "bad_above",
    "look_above",
    "defects",
    "area_px",
    "largest_x",
    "largest_y",
    "largest_width",
    "largest_height",
    "mask",
    "normal_images",
    "normal_photographs",
    "smallest_p",
)


def write_verdicts(path: Path, manifests: Iterable[VerdictManifest]) -> None:
    """Write the verdicts of some splits as CSV, UTF-8: a header, full precision, empty cells where there is no defect.

    Parameters
    ----------
    path : Path
        File to write.
    manifests : iterable of VerdictManifest
        Their images stand in this order.
    """
    with atomic_write(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(COLUMNS)
        for manifest in manifests:
            table.writerows(_rows(manifest))


def _rows(manifest: VerdictManifest) -> Iterator[tuple[object, ...]]:
    for image in manifest.images:
        yield verdict_row(manifest.category, manifest.split, image, manifest.basis_of(image))


def verdict_row(category: str, split: str, image: ImageVerdict, basis: Basis) -> tuple[object, ...]:
    """Return the cells of one image, one for each of :data:`COLUMNS`; ``basis`` is what it was judged by."""
    box = image.largest
    return (
        *(as_text(category), split, as_text(image.id)),
        *(image.answer, image.p, image.percentile, image.score),
        *(basis.bad.above, basis.look.above, image.defects, image.area_px),
        *((None,) * 4 if box is None else (box.x, box.y, box.width, box.height)),
        *(image.mask, basis.normal_images, basis.normal_photographs, basis.smallest_p),
    )
