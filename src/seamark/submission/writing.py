"""The submission: float16 maps and binary masks in the tree that the benchmark server takes, and the checked archive.

Source: docs/methods/mvtec_ad2.md#submission. Maps are shrunk by area averaging, enlarged bilinearly with pixel centres
at half-integers, and rounded to float16; masks keep the size of the photograph, whatever size the maps have.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
import tifffile

from seamark.errors import DataError, SubmissionError
from seamark.files.atomic import atomic_write
from seamark.files.images import write_mask
from seamark.files.parallel import MapItems
from seamark.manifests.base import write_manifest
from seamark.manifests.ranking import QuantileFit
from seamark.manifests.submission import ChallengeVerdict, CheckReport, PrecisionRecord
from seamark.maps.float16_scores import MAX_SCORE
from seamark.maps.quantile_fit import ranked_map
from seamark.maps.stored import load_map
from seamark.masks.stored import load_mask
from seamark.submission.archive import submission_files, write_archive
from seamark.submission.checker import check_submission, report_lines, with_archive
from seamark.submission.expected import MAPS_FOLDER, MASKS_FOLDER, ExpectedSubmission, scaled_size
from seamark.submission.images import SubmittedImage
from seamark.submission.inspection import CheckedFile, InspectedFile, expected_files, inspect_file
from seamark.submission.members import member_violations
from seamark.submission.rounding import round_scores

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WrittenSubmission:
    """A submission folder that has just been written.

    Parameters
    ----------
    precision : tuple of PrecisionRecord
        What rounding cost, per category and split.
    facts : mapping of str to InspectedFile
        What the checker found in every expected file right after it was written, by the path below the folder.
    """

    precision: tuple[PrecisionRecord, ...]
    facts: Mapping[str, InspectedFile]


def _resized(anomaly_map: Float32Array, width: int, height: int) -> Float32Array:
    largest = max(-float(anomaly_map.min()), float(anomaly_map.max()))
    if not largest <= MAX_SCORE:
        raise SubmissionError(
            f"a score of magnitude {largest:g}: submitted scores must be finite and at most {MAX_SCORE:g}, the largest "
            "float16; scale the detector's scores down"
        )
    rows, columns = anomaly_map.shape
    if (columns, rows) == (width, height):
        return anomaly_map
    shrinks = width <= columns and height <= rows
    resized = cv2.resize(anomaly_map, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized.astype(np.float32, copy=False)


def write_submission(
    folder: Path,
    images: Sequence[SubmittedImage],
    expected: ExpectedSubmission,
    map_images: MapItems,
    fits: Mapping[str, QuantileFit] | None = None,
) -> WrittenSubmission:
    """Write maps and masks into the official tree and inspect each file while it is still in the system's cache.

    One map per thread is in memory at a time.

    Parameters
    ----------
    folder : Path
        Empty folder to fill.
    images : sequence of SubmittedImage
        What to write.
    expected : ExpectedSubmission
        What the checker will expect; its ``map_scale`` is the size of the maps relative to the photographs.
    map_images : callable
        Applies a function to every image.
    fits : mapping of str to QuantileFit, optional
        What the maps of a category are fitted to first, by category; others are written as they are.

    Returns
    -------
    WrittenSubmission
        What rounding cost and what the checker found.

    Raises
    ------
    SubmissionError
        If a score, after the fit where there is one, is not finite or does not fit into float16.
    ManifestError
        If a map or mask is missing, damaged or of another size than its manifest says.
    """
    for image in images:
        for kind in (MAPS_FOLDER, MASKS_FOLDER):
            (folder / kind / image.category / image.split).mkdir(parents=True, exist_ok=True)
    write = partial(_write_image, folder, expected.map_scale, expected_files(expected), fits or {})
    written = cast("list[tuple[PrecisionRecord, dict[str, InspectedFile]]]", map_images(write, images, "images"))
    records = [record for record, _ in written]
    places = dict.fromkeys((record.category, record.split) for record in records)
    return WrittenSubmission(
        precision=tuple(
            _pooled_precision([record for record in records if (record.category, record.split) == place])
            for place in places
        ),
        facts={name: fact for _, facts in written for name, fact in facts.items()},
    )


def _write_image(
    folder: Path,
    map_scale: float,
    files: Mapping[str, CheckedFile],
    fits: Mapping[str, QuantileFit],
    image: SubmittedImage,
) -> tuple[PrecisionRecord, dict[str, InspectedFile]]:
    mask_name = f"{MASKS_FOLDER}/{image.category}/{image.split}/{image.name}.png"
    map_name = f"{MAPS_FOLDER}/{image.category}/{image.split}/{image.name}.tiff"
    precision = _write_submitted_map(folder / map_name, image, map_scale, fits.get(image.category))
    facts = {
        mask_name: _write_submitted_mask(folder, mask_name, image, files.get(mask_name)),
        map_name: inspect_file(folder, files[map_name]) if map_name in files else None,
    }
    return precision, {name: fact for name, fact in facts.items() if fact}


def _write_submitted_map(
    target: Path, image: SubmittedImage, map_scale: float, fit: QuantileFit | None
) -> PrecisionRecord:
    stored = load_map(image.maps, image.anomaly_map)
    try:
        scores = _resized(ranked_map(stored, fit), *scaled_size(image.width, image.height, map_scale))
    except (DataError, SubmissionError) as error:
        raise SubmissionError(f"{image.maps.parent / image.anomaly_map.file}: {error}") from error
    rounded = round_scores(scores)
    tifffile.imwrite(target, rounded.scores, byteorder="<", photometric="minisblack", metadata=None)
    return PrecisionRecord(
        category=image.category,
        split=image.split,
        minimum=float(scores.min()),
        maximum=float(scores.max()),
        distinct_float32=rounded.distinct_before,
        distinct_float16=rounded.distinct_after,
        tie_rate=1.0 - rounded.distinct_after / rounded.distinct_before,
        underflow_px=rounded.underflow_px,
    )


def _write_submitted_mask(
    folder: Path, name: str, image: SubmittedImage, file: CheckedFile | None
) -> InspectedFile | None:
    """Copy a mask that is whole and as the server takes it, which saves encoding it; write any other anew."""
    stored = image.masks.parent / image.mask.file
    if file and stored.is_file():
        shutil.copyfile(stored, folder / name)
        facts = inspect_file(folder, file)
        if not facts.violations and facts.mask_sha256 == image.mask.sha256:
            return facts
    write_mask(folder / name, load_mask(image.masks, image.mask))
    return inspect_file(folder, file) if file else None


def _pooled_precision(records: Sequence[PrecisionRecord]) -> PrecisionRecord:
    before = sum(record.distinct_float32 for record in records)
    after = sum(record.distinct_float16 for record in records)
    return PrecisionRecord(
        category=records[0].category,
        split=records[0].split,
        minimum=min(record.minimum for record in records),
        maximum=max(record.maximum for record in records),
        distinct_float32=before,
        distinct_float16=after,
        tie_rate=1.0 - after / before,
        underflow_px=sum(record.underflow_px for record in records),
    )


def pack_submission(
    folder: Path,
    expected: ExpectedSubmission,
    archive: Path,
    check: Path,
    map_files: MapItems,
    *,
    refused: Path,
    known: Mapping[str, InspectedFile],
    challenges: tuple[ChallengeVerdict, ...] = (),
    warnings: tuple[str, ...] = (),
    threads: int,
) -> tuple[CheckReport, str]:
    """Check a submission folder and, if it is accepted, write its archive and the check report.

    Parameters
    ----------
    folder : Path
        Submission folder.
    expected : ExpectedSubmission
        What it should hold.
    archive, check : Path
        Targets. The archive appears last, only after every part of it has been
        inflated and its members compared with the folder.
    map_files : callable
        Applies a function to every file.
    refused : Path
        Target of the check report of a submission that is not accepted.
    known : mapping of str to InspectedFile
        Facts on files that were inspected when they were written; the others are read now.
    challenges : tuple of ChallengeVerdict
        What the rules of challenges say about the settings; goes into the report as it is.
    warnings : tuple of str
        What the report says besides its own warnings.
    threads : int
        Threads that compress the archive.

    Returns
    -------
    report : CheckReport
        Accepted.
    archive_sha256 : str
        Digest of the archive.

    Raises
    ------
    SubmissionError
        If a rule is broken; ``archive`` and ``check`` are then as before.
    """
    refused.unlink(missing_ok=True)
    checked = check_submission(folder, expected, map_files, known)
    report = checked.model_copy(update={"challenges": challenges, "warnings": (*checked.warnings, *warnings)})
    _require_accepted(report, refused)
    with atomic_write(archive) as draft:
        written = write_archive(draft, submission_files(folder), threads)
        found = member_violations(archive.name, written.members, folder.name, submission_files(folder))
        report = with_archive(report, found, written.size_bytes)
        _require_accepted(report, refused)
        write_manifest(check, report)
    return report, written.sha256


def _require_accepted(report: CheckReport, refused: Path) -> None:
    if report.verdict == "refused":
        write_manifest(refused, report)
        raise SubmissionError(
            f"the submission breaks a rule; the whole report: {refused}\n" + "\n".join(report_lines(report))
        )
