"""The submission checker: every rule of the benchmark's own checker, and more that protect the score.

An independent implementation of docs/methods/mvtec_ad2.md#official-checker: rules 1 to 7 as the official script applies
them, and extra ones for what it lets pass: non-finite scores, wrong sizes, unusual PNG modes, damaged files, links.

Command line: ``python -m seamark.checker submissions/demo --index out/demo/00_index``; without ``--index`` the
submission must be a complete one for MVTec AD 2. An archive can take the place of the folder, or be compared with it.
Exit status 0 means accepted.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from tarfile import TarInfo
from types import MappingProxyType
from typing import IO, Any

from seamark.errors import SeamarkError, SubmissionError
from seamark.files.plain import looked_for, shown
from seamark.manifests.base import read_manifest
from seamark.manifests.index import IndexManifest
from seamark.manifests.submission import CheckReport, FolderCounts, RuleResult
from seamark.settings.base import Split
from seamark.submission.archive import submission_files
from seamark.submission.expected import (
    MAPS_FOLDER,
    MASKS_FOLDER,
    PRIVATE_SPLITS,
    ExpectedImage,
    ExpectedSubmission,
    expected_submission,
    official_submission,
)
from seamark.submission.inspection import (
    CheckedFile,
    InspectedFile,
    Violation,
    expected_files,
    inspect_file,
    most_bytes,
)
from seamark.submission.members import MemberPlaces, archive_violations, judged_members
from seamark.submission.tree import Tree, folder_tree, member_tree, tree_violations

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
    "whole": "every map and mask is whole: right check sums, complete pixels, one picture, the same to every decoder",
    "finite": "every score is finite",
    "map_size": "every map has the size of its image, or exactly the configured share of it",
    "mask_size": "every mask has the size of its image",
    "mask_mode": "every mask is an 8-bit grey PNG (mode L)",
}
ARCHIVE_RULE = "archive"
ARCHIVE_MEANING = "the archive holds the files of the folder byte for byte, all below its name, and nothing else"

MapFiles = Callable[[Callable[[Any], Any], Sequence[Any], str], list[Any]]
"""Applies a function to every item, like :meth:`seamark.running.job.Job.map`."""


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

    Examples
    --------
    >>> expected = ExpectedSubmission({"nut": {"test_private": (ExpectedImage("000", 8, 6),)}}, map_scale=1.0)
    >>> report = check_submission(folder, expected, lambda inspect, files, _: list(map(inspect, files)))
    >>> report.verdict, [rule.rule for rule in report.rules if not rule.passed]
    ('refused', ['mask_format'])
    """
    if not folder.is_dir():
        return _report(folder.name, expected, Tree((), ()), {}, [Violation("folder", f"{folder}: not a folder")])
    tree = folder_tree(folder)
    files = {name: file for name, file in expected_files(expected).items() if name in tree.files}
    unread = [file for name, file in files.items() if name not in known]
    found = map_files(partial(inspect_file, folder), unread, "files")
    read = dict(zip([file.id for file in unread], found, strict=True))
    facts = {name: known[name] if name in known else read[name] for name in files}
    return _report(folder.name, expected, tree, facts, tree_violations(tree, expected))


def check_archive(archive: Path, expected: ExpectedSubmission) -> CheckReport:
    """Check an archive without its folder against every rule; its members are decoded from the stream, one at a time.

    Parameters
    ----------
    archive : Path
        A .tar.gz file.
    expected : ExpectedSubmission
        What it should hold, in one folder of any name.

    Returns
    -------
    CheckReport
        As :func:`check_submission` and :func:`with_archive` give it.

    Examples
    --------
    >>> expected = ExpectedSubmission({"nut": {"test_private": (ExpectedImage("000", 8, 6),)}}, map_scale=1.0)
    >>> print(report_lines(check_archive(archive, expected))[1])
    rule mask_format (official): every mask is a two-dimensional PNG with values 0 and 255: 1 violation(s)
    """
    members = _Members(expected_files(expected))
    sizes = [most_bytes(file.sizes) for file in members.files.values()]
    found = list(judged_members(archive, sizes, members.judge))
    tree = member_tree(members.names, members.folders)
    report = _report(
        shown(members.places.prefix or archive.name), expected, tree, members.facts, tree_violations(tree, expected)
    )
    return with_archive(report, found, archive.stat().st_size)


class _Members:
    """What is learnt from the members of an archive, one after the other."""

    def __init__(self, files: Mapping[str, CheckedFile]) -> None:
        self.files, self.places = files, MemberPlaces()
        self.names: set[str] = set()
        self.folders: set[str] = set()
        self.facts: dict[str, InspectedFile] = {}

    def judge(self, member: TarInfo, content: IO[bytes] | None) -> str:
        if fault := self.places.fault(member):
            return fault
        name = "/".join(PurePosixPath(member.name).parts[1:])
        if content is None:
            self.folders |= {name} - {""}
            return ""
        self.names.add(name)
        if file := self.files.get(name):
            self.facts[name] = file.inspect(name, partial(_read_member, member, content), file.sizes)
        return ""


def _read_member(member: TarInfo, content: IO[bytes], most: int) -> bytes:
    if member.size > most:
        raise OSError(f"{member.size} bytes, expected at most {most}")
    return content.read()


def _report(
    name: str,
    expected: ExpectedSubmission,
    tree: Tree,
    facts: Mapping[str, InspectedFile],
    found: Iterable[Violation],
) -> CheckReport:
    violations = [*found, *(violation for fact in facts.values() for violation in fact.violations)]
    folders = tuple(
        _folder_counts(category, split, images, facts)
        for category, splits in expected.images.items()
        for split, images in splits.items()
    )
    return CheckReport(
        submission=name,
        verdict="refused" if violations else "accepted",
        map_scale=expected.map_scale,
        rules=tuple(
            [_result(rule, "official", text, violations) for rule, text in OFFICIAL_RULES.items()]
            + [_result(rule, "extra", text, violations) for rule, text in EXTRA_RULES.items()]
        ),
        warnings=tuple(_warnings(tree, expected, facts)),
        folders=folders,
        total_bytes=sum(fact.size_bytes for fact in facts.values()),
        archive_bytes=None,
    )


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


def _warnings(tree: Tree, expected: ExpectedSubmission, facts: Mapping[str, InspectedFile]) -> Iterator[str]:
    if expected.image_scale < 1.0:
        yield f"a rehearsal: images of {expected.image_scale:g} times the official size, not for the server"
    if MAPS_FOLDER in tree.names[""] and MASKS_FOLDER not in tree.names[""]:
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


def with_archive(report: CheckReport, found: Iterable[str], size_bytes: int) -> CheckReport:
    """Add the rule ``archive`` to the report on a folder: what was found in its archive of a known size."""
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
    """Return the report as lines for a terminal: verdict, broken rules with their files, warnings, size.

    Examples
    --------
    >>> report = check_submission(Path("nowhere"), official_submission(1.0), lambda *_: [])
    >>> for line in report_lines(report)[:3]:
    ...     print(line)
    nowhere: refused
    rule folder (official): the submission is a folder: 1 violation(s)
      nowhere: not a folder
    """
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
    parser = argparse.ArgumentParser(
        prog="python -m seamark.checker", description="Check a submission folder or archive."
    )
    parser.add_argument("submission", type=Path, help="submission folder, or its .tar.gz alone")
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

    Examples
    --------
    >>> main(["nowhere.tar.gz"])  # doctest: +ELLIPSIS
    nowhere.tar.gz (looked for in ...): does not exist; correct the path
    1
    """
    options = _arguments(arguments)
    missing = [path for path in (options.submission, options.archive) if path is not None and not path.exists()]
    if missing:
        print("\n".join(f"{looked_for(path)}: does not exist; correct the path" for path in missing))
        return 1
    try:
        expected = (
            expected_submission(read_indexes(options.index), options.splits, options.map_scale, options.image_scale)
            if options.index
            else official_submission(options.map_scale, options.image_scale)
        )
        report = _checked(options.submission.resolve(), options.archive, expected)
    except (SeamarkError, OSError) as error:
        print(error)
        return 1
    print("\n".join(report_lines(report)))
    return 0 if report.verdict == "accepted" else 1


def _checked(submission: Path, archive: Path | None, expected: ExpectedSubmission) -> CheckReport:
    if submission.is_file() and not archive:
        return check_archive(submission, expected)
    report = check_submission(submission, expected, _threaded)
    if not archive:
        return report
    found = archive_violations(archive, submission.name, submission_files(submission))
    return with_archive(report, found, archive.stat().st_size)


def _threaded(function: Callable[[Any], Any], items: Sequence[Any], _: str) -> list[Any]:
    with ThreadPoolExecutor() as pool:
        return list(pool.map(function, items))


if __name__ == "__main__":
    sys.exit(main())
