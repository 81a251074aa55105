"""The submission checker: every rule of the benchmark's own checker, and more that protect the score.

An independent implementation of docs/methods/mvtec_ad2.md#official-checker: rules 1 to 7 as the official script applies
them, and extra ones for what it lets pass: non-finite scores, wrong sizes, unusual PNG modes, links.

Command line: ``python -m seamark.checker submissions/demo --index out/demo/00_index``; without ``--index`` the
submission must be a complete one for MVTec AD 2. Exit status 0 means accepted.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from seamark.errors import SeamarkError, SubmissionError
from seamark.files.plain import shown
from seamark.manifests.base import read_manifest
from seamark.manifests.index import IndexManifest
from seamark.manifests.submission import CheckReport, FolderCounts, RuleResult
from seamark.settings.base import Split
from seamark.submission.archive import archive_violations, submission_files
from seamark.submission.expected import (
    PRIVATE_SPLITS,
    ExpectedImage,
    ExpectedSubmission,
    expected_submission,
    official_submission,
    scaled_size,
)
from seamark.submission.inspection import InspectedFile, Violation, inspect_map, inspect_mask

MAPS_FOLDER = "anomaly_images"
MASKS_FOLDER = "anomaly_images_thresholded"
FEW_LEVELS = 256
"""A map with fewer distinct scores than this is worth a warning."""

LARGE_ARCHIVE_BYTES = 10_000_000_000
"""The largest archive known to have been accepted by the server has 9.8 GB (docs/methods/mvtec_ad2.md#submission)."""

NOT_AN_INDEX = (".truth.json", ".prov.json")
"""Ends of the names of other files that lie beside the index manifests."""

EXAMPLES = 20
"""Violations of one rule that the report spells out."""

OFFICIAL_RULES = {
    "folder": "the submission is a folder",
    "maps": f"it holds {MAPS_FOLDER}",
    "top_level": f"it holds nothing besides {MAPS_FOLDER} and {MASKS_FOLDER}",
    "tree": "each of the two holds exactly the expected categories, and each category exactly the private splits",
    "names": "each split holds exactly the expected files: .tiff maps, .png masks",
    "map_format": "every map is a two-dimensional float16 TIFF",
    "mask_format": "every mask is a two-dimensional PNG with values 0 and 255",
}
EXTRA_RULES = {
    "plain_files": "every file is a plain file, not a link",
    "finite": "every score is finite",
    "map_size": "every map has the size of its image, or exactly the configured share of it",
    "mask_size": "every mask has the size of its image",
    "mask_mode": "every mask is an 8-bit grey PNG (mode L)",
}
ARCHIVE_RULE = "archive"
ARCHIVE_MEANING = "the archive holds exactly the files of the folder, all below its name, all plain files"

MapFiles = Callable[[Callable[[Any], Any], Sequence[Any], str], list[Any]]
"""Applies a function to every item, like :meth:`seamark.running.job.Job.map`."""


@dataclass(frozen=True)
class CheckedFile:
    """A map or mask that is expected."""

    id: str
    path: Path
    sizes: tuple[tuple[int, int], ...]
    """Allowed (width, height)."""
    inspect: Callable[[str, Path, Sequence[tuple[int, int]]], InspectedFile]


def check_submission(
    folder: Path,
    expected: ExpectedSubmission,
    map_files: MapFiles,
    known: Mapping[str, InspectedFile] = MappingProxyType({}),
) -> CheckReport:
    """Check a submission folder against every rule.

    Parameters
    ----------
    folder : Path
        Submission folder.
    expected : ExpectedSubmission
        What it should hold.
    map_files : callable
        Applies a function to every file, in as many threads as it likes; one file per thread is in memory at a time.
    known : mapping of str to InspectedFile
        Facts on files that were inspected when they were written, by their id; all others are read now.

    Returns
    -------
    CheckReport
        Deterministic; it names the file and the rule of every violation.
    """
    violations = list(_tree_violations(folder, expected))
    files = {name: file for name, file in expected_files(folder, expected).items() if file.path.is_file()}
    unread = [file for name, file in files.items() if name not in known]
    read = dict(zip([file.id for file in unread], map_files(inspect_file, unread, "files"), strict=True))
    by_id: dict[str, InspectedFile] = {name: known[name] if name in known else read[name] for name in files}
    violations += [violation for fact in by_id.values() for violation in fact.violations]
    folders = tuple(
        _folder_counts(category, split, images, by_id)
        for category, splits in expected.images.items()
        for split, images in splits.items()
    )
    return CheckReport(
        submission=folder.name,
        verdict="refused" if violations else "accepted",
        map_scale=expected.map_scale,
        rules=tuple(
            [_result(rule, "official", text, violations) for rule, text in OFFICIAL_RULES.items()]
            + [_result(rule, "extra", text, violations) for rule, text in EXTRA_RULES.items()]
        ),
        warnings=tuple(_warnings(folder, expected, by_id)),
        folders=folders,
        total_bytes=sum(fact.size_bytes for fact in by_id.values()),
        archive_bytes=None,
    )


def inspect_file(file: CheckedFile) -> InspectedFile:
    """Read a file and return what is known of it, broken rules included."""
    return file.inspect(file.id, file.path, file.sizes)


def _result(rule: str, origin: Any, meaning: str, violations: Sequence[Violation]) -> RuleResult:
    found = [violation.text for violation in violations if violation.rule == rule]
    return RuleResult(
        rule=rule,
        origin=origin,
        meaning=meaning,
        passed=not found,
        violations=len(found),
        examples=tuple(found[:EXAMPLES]),
    )


def _tree_violations(folder: Path, expected: ExpectedSubmission) -> Iterator[Violation]:
    """Rules 1 to 5, and that nothing is a link."""
    if not folder.is_dir():
        yield Violation("folder", f"{folder}: not a folder")
        return
    if not (folder / MAPS_FOLDER).is_dir():
        yield Violation("maps", f"{folder}: no folder {MAPS_FOLDER}")
    for name in sorted(_names(folder) - {MAPS_FOLDER, MASKS_FOLDER}):
        yield Violation("top_level", f"{shown(name)}: nothing but {MAPS_FOLDER} and {MASKS_FOLDER} may lie here")
    if (folder / MASKS_FOLDER).is_file():
        yield Violation("top_level", f"{MASKS_FOLDER}: not a folder")
    for path in sorted(path for path in folder.rglob("*") if path.is_symlink()):
        yield Violation("plain_files", f"{shown(path.relative_to(folder))}: a link; put the file itself there")
    for kind, suffix in ((MAPS_FOLDER, ".tiff"), (MASKS_FOLDER, ".png")):
        if (folder / kind).is_dir():
            yield from _kind_violations(folder, kind, suffix, expected)


def _kind_violations(folder: Path, kind: str, suffix: str, expected: ExpectedSubmission) -> Iterator[Violation]:
    yield from _difference("tree", folder, kind, set(expected.images), "category folder")
    for category, splits in expected.images.items():
        if not (folder / kind / category).is_dir():
            continue
        yield from _difference("tree", folder, f"{kind}/{category}", {str(split) for split in splits}, "split folder")
        for split, images in splits.items():
            if (folder / kind / category / split).is_dir():
                names = {image.name + suffix for image in images}
                yield from _difference("names", folder, f"{kind}/{category}/{split}", names, "file")


def _difference(rule: str, folder: Path, below: str, wanted: set[str], what: str) -> Iterator[Violation]:
    found = _names(folder / below)
    for name in sorted(wanted - found):
        yield Violation(rule, f"{below}/{name}: this {what} is missing")
    for name in sorted(found - wanted):
        yield Violation(
            rule, f"{below}/{shown(name)}: not expected here; the {what}s of the submission are fixed, remove it"
        )
    for name in sorted(found & wanted):
        path = folder / below / name
        if path.is_file() != (what == "file"):
            yield Violation(rule, f"{below}/{name}: not a {what}")


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def expected_files(folder: Path, expected: ExpectedSubmission) -> dict[str, CheckedFile]:
    """Return all maps and masks of a complete submission by their id, whether they are there or not.

    Parameters
    ----------
    folder : Path
        Submission folder.
    expected : ExpectedSubmission
        What it should hold.

    Returns
    -------
    dict of str to CheckedFile
        The id is the path below the folder.
    """
    files = []
    for category, splits in expected.images.items():
        for split, images in splits.items():
            for image in images:
                full = (image.width, image.height)
                sizes = (full, scaled_size(*full, expected.map_scale))
                anomaly_map = f"{MAPS_FOLDER}/{category}/{split}/{image.name}.tiff"
                mask = f"{MASKS_FOLDER}/{category}/{split}/{image.name}.png"
                files.append(CheckedFile(anomaly_map, folder / anomaly_map, sizes, inspect_map))
                files.append(CheckedFile(mask, folder / mask, (full,), inspect_mask))
    return {file.id: file for file in files}


def _of_folder(kind: str, category: str, split: str, facts: Mapping[str, InspectedFile]) -> dict[str, InspectedFile]:
    below = f"{kind}/{category}/{split}/"
    return {name: fact for name, fact in facts.items() if name.startswith(below)}


def _folder_counts(
    category: str, split: Split, images: Sequence[ExpectedImage], facts: Mapping[str, InspectedFile]
) -> FolderCounts:
    maps = _of_folder(MAPS_FOLDER, category, split, facts).values()
    masks = _of_folder(MASKS_FOLDER, category, split, facts).values()
    return FolderCounts(
        category=category,
        split=split,
        images=len(images),
        maps=len(maps),
        masks=len(masks),
        empty_masks=sum(fact.empty for fact in masks),
        full_masks=sum(fact.full for fact in masks),
        fewest_levels=min((fact.levels for fact in maps if fact.levels), default=None),
        map_bytes=sum(fact.size_bytes for fact in maps),
        mask_bytes=sum(fact.size_bytes for fact in masks),
    )


def _warnings(folder: Path, expected: ExpectedSubmission, facts: Mapping[str, InspectedFile]) -> Iterator[str]:
    if expected.image_scale < 1.0:
        yield f"a rehearsal: images of {expected.image_scale:g} times the official size, not for the server"
    if folder.is_dir() and not (folder / MASKS_FOLDER).exists():
        yield f"{MASKS_FOLDER} is missing: the server accepts that and reports ClassF1 = SegF1 = 0"
    for category, splits in expected.images.items():
        for split in splits:
            masks = _of_folder(MASKS_FOLDER, category, split, facts)
            if masks and all(fact.empty for fact in masks.values()):
                yield f"{MASKS_FOLDER}/{category}/{split}: all {len(masks)} masks are empty (0 everywhere)"
            yield from _tally("masks are 255 everywhere", {name: fact.full for name, fact in masks.items()})
            maps = _of_folder(MAPS_FOLDER, category, split, facts)
            few = {name: 0 < fact.levels < FEW_LEVELS for name, fact in maps.items()}
            yield from _tally(f"maps have fewer than {FEW_LEVELS} distinct scores, so their ranks are coarse", few)
            tied = {name: fact.commonest_share > 0.5 for name, fact in maps.items()}
            yield from _tally("maps give more than half of their pixels one and the same score", tied)


def _tally(what: str, flags: Mapping[str, bool]) -> Iterator[str]:
    flagged = [name for name, flag in flags.items() if flag]
    if flagged:
        yield f"{len(flagged)} of {len(flags)} {what}; first {flagged[0]}"


def with_archive(report: CheckReport, archive: Path, folder: Path) -> CheckReport:
    """Add the check of the archive to the report on its folder.

    Parameters
    ----------
    report : CheckReport
        On the folder.
    archive : Path
        The .tar.gz file.
    folder : Path
        The folder that it must hold.

    Returns
    -------
    CheckReport
        With the rule ``archive``, the archive's size, and a verdict over both.
    """
    found = archive_violations(archive, folder.name, submission_files(folder))
    return with_archive_rule(report, found, archive.stat().st_size)


def with_archive_rule(report: CheckReport, found: Iterable[str], size_bytes: int) -> CheckReport:
    """Add what was found in an archive of a known size, like :func:`with_archive`, to the report on its folder."""
    violations = [Violation(ARCHIVE_RULE, text) for text in found]
    warnings = report.warnings
    if size_bytes > LARGE_ARCHIVE_BYTES:
        warnings += (f"the archive has {size_bytes / 1e9:.1f} GB, more than any known to be accepted; lower map_scale",)
    return report.model_copy(
        update={
            "rules": (*report.rules, _result(ARCHIVE_RULE, "extra", ARCHIVE_MEANING, violations)),
            "verdict": "refused" if violations else report.verdict,
            "warnings": warnings,
            "archive_bytes": size_bytes,
        }
    )


def report_lines(report: CheckReport) -> list[str]:
    """Return the report as lines for a terminal: verdict, broken rules with their files, warnings, size."""
    lines = [f"{report.submission}: {report.verdict}"]
    for rule in report.rules:
        if not rule.passed:
            lines.append(f"rule {rule.rule} ({rule.origin}): {rule.meaning}: {rule.violations} violation(s)")
            lines += [f"  {text}" for text in rule.examples]
    lines += [f"warning: {text}" for text in report.warnings]
    maps, masks = (sum(getattr(folder, kind) for folder in report.folders) for kind in ("maps", "masks"))
    return [*lines, f"{maps} maps and {masks} masks, {report.total_bytes / 1e6:.1f} MB"]


def read_indexes(folder: Path) -> list[IndexManifest]:
    """Read all index manifests below a folder, ``<category>/<split>.json``, passing over truth and provenance.

    Raises
    ------
    SubmissionError
        If the folder holds none.
    """
    paths = sorted(path for path in folder.glob("*/*.json") if not path.name.endswith(NOT_AN_INDEX))
    if not paths:
        raise SubmissionError(
            f"{folder}: no index manifest (<category>/<split>.json); give the folder that the index stage wrote"
        )
    return [read_manifest(path, IndexManifest) for path in paths]


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m seamark.checker", description="Check a submission folder.")
    parser.add_argument("folder", type=Path, help="submission folder")
    parser.add_argument("--index", type=Path, help="folder of index manifests; without it: the full MVTec AD 2")
    parser.add_argument("--splits", nargs="+", choices=PRIVATE_SPLITS, default=PRIVATE_SPLITS, help="submitted splits")
    parser.add_argument("--map-scale", type=float, default=1.0, help="size of the maps relative to the images")
    parser.add_argument("--image-scale", type=float, default=1.0, help="size of the images relative to MVTec AD 2's")
    parser.add_argument("--archive", type=Path, help="also compare this .tar.gz with the folder")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a submission from the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line; that of the process by default.

    Returns
    -------
    int
        0 when accepted, 1 when refused or not checkable.
    """
    options = _arguments(arguments)
    try:
        expected = (
            expected_submission(read_indexes(options.index), options.splits, options.map_scale, options.image_scale)
            if options.index
            else official_submission(options.map_scale, options.image_scale)
        )
        report = check_submission(options.folder.resolve(), expected, _threaded)
        if options.archive:
            report = with_archive(report, options.archive, options.folder.resolve())
    except (SeamarkError, OSError) as error:
        print(error)
        return 1
    print("\n".join(report_lines(report)))
    return 0 if report.verdict == "accepted" else 1


def _threaded(function: Callable[[Any], Any], items: Sequence[Any], _: str) -> list[Any]:
    with ThreadPoolExecutor() as pool:
        return list(pool.map(function, items))


if __name__ == "__main__":
    sys.exit(main())
