"""Inspecting photographs into a folder: a row, a mask, a map and an overlay each, so that a stop loses nothing.

A row is appended to ``verdicts.csv`` once all files of its photograph are there. Whoever starts again with the same
bundle and folder goes on behind the last whole row.
"""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from PIL import Image

from seamark.data.listing import list_files, stem
from seamark.errors import DataError, ManifestError
from seamark.files.atomic import atomic_write
from seamark.files.image_checks import read_image_file
from seamark.files.images import UInt8Array, decode_image, write_map, write_mask
from seamark.files.plain import IMAGE_SUFFIXES, OTHER_IMAGE_SUFFIXES, RENAMED_SUFFIXES, looked_for, shown
from seamark.files.tables import as_text
from seamark.inspection.inspector import Inspection, Inspector
from seamark.inspection.members import LARGE_PX, return_memory
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.bundle import BundleManifest
from seamark.masks.verdict_table import COLUMNS, verdict_row
from seamark.preview.panels import REFINED, draw_contours, folded, panel_size, photograph_panel

UNREAD = "unread"
"""In place of an answer, of a photograph that could not be judged."""
HEADER = (*COLUMNS, "sha256", "note")
"""Columns of the table: those of a run, digest of the file, and why it could not be judged."""
IMAGE, ANSWER, DIGEST, NOTE = (HEADER.index(name) for name in ("image", "answer", "sha256", "note"))
OVERLAY_PX = 1024
JPEG_QUALITY = 88


@dataclass(frozen=True)
class Photograph:
    """A file to judge."""

    id: str
    """Path below the folder that was named, without suffix; its files are called so."""
    path: Path
    refusal: str = ""
    """Why it is not read, of an image of a kind that is not."""


def photographs_in(inputs: Sequence[Path], output: Path) -> Iterator[Photograph]:
    """Yield the images among files and below folders, in the order of their names; what lies in ``output`` is none.

    Raises
    ------
    DataError
        If one of the inputs is not there, or two photographs would have results of one name.
    """
    known: dict[str, Path] = {}
    for name, path in (pair for one in inputs for pair in _files_of(one, output.resolve())):
        kind = path.suffix.lower()
        if kind not in IMAGE_SUFFIXES | OTHER_IMAGE_SUFFIXES | RENAMED_SUFFIXES.keys():
            continue
        found = Photograph(stem(name), path, "" if kind in IMAGE_SUFFIXES else _unread_kind(path))
        if found.id in known:
            raise DataError(
                f"{shown(path)} and {shown(known[found.id])}: both would be called {found.id}; inspect them into two "
                "folders (--out), or rename one"
            )
        known[found.id] = path
        yield found


def _files_of(given: Path, output: Path) -> Iterator[tuple[str, Path]]:
    if given.is_dir():
        for folder, names in sorted(list_files(given).items()):
            if not (given / folder).resolve().is_relative_to(output):
                yield from ((f"{folder}/{name}".lstrip("/"), given / folder / name) for name in names)
    elif given.exists() or given.is_symlink():
        yield given.name, given
    else:
        raise DataError(f"{looked_for(given)}: no such file or folder; correct the path")


def _unread_kind(path: Path) -> str:
    renamed = RENAMED_SUFFIXES.get(path.suffix.lower())
    return f"a file ending in {path.suffix} is not read; " + (
        f"rename it to {renamed}" if renamed else "save it as PNG"
    )


class VerdictTable:
    """The rows of ``verdicts.csv``, each written as soon as it is known.

    Parameters
    ----------
    path : Path
        The file; what it holds already stays, but for a row that was cut off and those that could not be judged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows = {row[IMAGE]: row for row in _whole_rows(path) if row[ANSWER] != UNREAD}
        self._write_all()

    @property
    def rows(self) -> list[list[str]]:
        """All rows, in the order in which they were written."""
        return list(self._rows.values())

    def has(self, image_id: str, digest: str) -> bool:
        """Whether a photograph of this content has a row."""
        row = self._rows.get(as_text(image_id))
        return row is not None and row[DIGEST] == digest

    def append(self, row: Sequence[object]) -> None:
        """Add a row, in place of an earlier one of the same name."""
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        cells = next(csv.reader([line.getvalue()]))
        if self._rows.pop(cells[IMAGE], None) is not None:
            self._rows[cells[IMAGE]] = cells
            self._write_all()
            return
        self._rows[cells[IMAGE]] = cells
        with self.path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(line.getvalue())  # one write: another reader sees whole rows

    def _write_all(self) -> None:
        with atomic_write(self.path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows([HEADER, *self._rows.values()])


def _whole_rows(path: Path) -> Iterator[list[str]]:
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    head, *rows = csv.reader(io.StringIO(whole, newline="")) if whole else [list(HEADER)]
    if tuple(head) != HEADER:
        raise ManifestError(f"{shown(path)}: not a table of inspections; choose another folder with --out")
    yield from (row for row in rows if len(row) == len(HEADER))


class InspectionFolder:
    """Writes inspections into a folder.

    Parameters
    ----------
    folder : Path
        The folder; made when it is missing.
    inspector : Inspector
        Judges the photographs.
    workers : int
        Photographs that are judged at the same time; of those with more than ``LARGE_PX``, one.

    Raises
    ------
    ManifestError
        If the folder holds inspections with another bundle.
    """

    def __init__(self, folder: Path, inspector: Inspector, workers: int = 1) -> None:
        self.folder, self._inspector, self._workers, self._alone = folder, inspector, workers, Lock()
        card = folder / "bundle.json"
        told = inspector.manifest.model_copy(update={"sha256": inspector.bundle.digest})
        if card.exists() and read_manifest(card, BundleManifest) != told:
            raise ManifestError(
                f"{shown(folder)}: holds inspections with another bundle, whose verdicts are not to be mixed; choose "
                "another folder with --out, or delete this one"
            )
        write_manifest(card, told)
        self.table = VerdictTable(folder / "verdicts.csv")

    def inspect(self, photographs: Iterable[Photograph]) -> Iterator[list[str]]:
        """Judge what has no row yet, in order, and yield each row once it is written; as many in memory as workers."""
        with ThreadPoolExecutor(self._workers) as pool:
            waiting: list[Photograph] = []
            for photograph in photographs:
                waiting.append(photograph)
                if len(waiting) == self._workers:
                    yield from self._written(pool, waiting)
                    waiting = []
            yield from self._written(pool, waiting)

    def _written(self, pool: ThreadPoolExecutor, photographs: Sequence[Photograph]) -> Iterator[list[str]]:
        for row in pool.map(self._judged, photographs):
            if row is not None:
                self.table.append(row)
                yield self.table.rows[-1]

    def _judged(self, photograph: Photograph) -> Sequence[object] | None:
        category = self._inspector.manifest.category
        unread = [as_text(category), "", as_text(photograph.id), UNREAD, *[""] * (len(HEADER) - ANSWER - 1)]
        if photograph.refusal:
            return [*unread[:NOTE], photograph.refusal]
        try:
            content = read_image_file(photograph.path, settings=self._inspector.manifest.pixels)
            digest = hashlib.sha256(content).hexdigest()
            if self.table.has(photograph.id, digest) and self._mask(photograph.id).is_file():
                return None
            pixels = decode_image(content, photograph.path, settings=self._inspector.manifest.pixels)
            large = pixels.shape[0] * pixels.shape[1] > LARGE_PX
            with self._alone if large else nullcontext():
                inspection = self._inspector(pixels)
                self._write_files(photograph.id, pixels, inspection)
                row = verdict_row(category, "", inspection.row(photograph.id), inspection.basis)
                if large:
                    del pixels, inspection
                    return_memory()
        except DataError as error:
            return [*unread[:NOTE], str(error)]
        return *row, digest, ""

    def _mask(self, image_id: str) -> Path:
        return self.folder / "masks" / f"{image_id}.png"

    def _write_files(self, image_id: str, photograph: UInt8Array, inspection: Inspection) -> None:
        with atomic_write(self.folder / "maps" / f"{image_id}.tiff") as draft:
            write_map(draft, inspection.map)
        with atomic_write(self.overlay(image_id)) as draft:
            panel = photograph_panel(photograph, panel_size(photograph.shape, OVERLAY_PX))
            drawn = folded(draw_contours(panel, inspection.mask, REFINED, 2), photograph.shape)
            Image.fromarray(drawn).save(draft, format="JPEG", quality=JPEG_QUALITY)
        with atomic_write(self._mask(image_id)) as draft:
            write_mask(draft, inspection.mask)

    def overlay(self, image_id: str) -> Path:
        """Return where the photograph with the outlines of its mask lies."""
        return self.folder / "overlays" / f"{image_id}.jpg"


def usual_workers(device: str) -> int:
    """Return how many photographs to judge at the same time: on the CPU one a core, at most 4; a GPU takes one."""
    return 1 if device != "cpu" else min(4, len(os.sched_getaffinity(0)))
