"""Comparing the artifacts of a run with their manifests and their provenance; what is wrong comes with its repair."""

import os
import re
import shlex
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from seamark.errors import ManifestError
from seamark.files.atomic import file_digest
from seamark.files.parallel import MapItems
from seamark.files.plain import UNREADABLE, require_plain_file, shown
from seamark.flow import STAGES
from seamark.manifests.base import Manifest, read_manifest
from seamark.manifests.plots import PlotsManifest
from seamark.manifests.submission import CheckReport, SubmissionProvenance
from seamark.manifests.verdict import VerdictManifest
from seamark.repair import repair_command, snakemake_command
from seamark.running.file_records import FileRecord, JobProvenance, difference
from seamark.verification.recorded_files import RecordedFile, Roots, recorded_files

MISSING = "missing"
BESIDE: Mapping[tuple[str, str], type[Manifest]] = {
    ("report", "plots"): PlotsManifest,
    ("verdict", "verdicts"): VerdictManifest,
}
"""Manifests beside that of a job by stage and output; they are in its provenance and have none of their own."""
READING = (tarfile.TarError, *UNREADABLE)
"""What reading a damaged file may raise; Seamark's own errors and pydantic's are ValueErrors."""


@dataclass(frozen=True)
class Fault:
    """Something that is not as it should be."""

    path: Path
    what: str
    command: str
    """Repairs it."""


@dataclass
class Verification:
    """What was found in the artifacts of a run.

    Parameters
    ----------
    map_items : callable
        Applies a function to every file.
    expected : mapping of str to mapping
        Settings and code of now by path of a manifest.
    roots : mapping of str to Path
        Folders of the photographs (``data``) and of the private truth (``truth``).
    """

    map_items: MapItems
    expected: Mapping[str, Mapping[str, Any]]
    roots: Roots
    faults: dict[Path, Fault] = field(default_factory=dict)
    """The first fault of every file, in the order in which they were found."""
    checked: dict[Path, int] = field(default_factory=dict)
    """Size in bytes of every file that was read."""
    versions: dict[str, set[str]] = field(default_factory=dict)
    """Versions of packages in the provenance of all artifacts."""

    def add(self, path: Path, what: str, command: str) -> None:
        """Note a fault, unless the file has one already."""
        self.faults.setdefault(path, Fault(path, what, command))

    def manifests(self, listed: Sequence[tuple[Path, type[Manifest]]]) -> None:
        """Check manifests, their provenance and all the files that they answer for.

        Parameters
        ----------
        listed : sequence of (Path, type)
            Manifests that are there, in the order of the flow.
        """
        alone = [path for path, kind in listed if kind not in BESIDE.values()]
        provenances = [(path, self._provenance(path.with_suffix(".prov.json"), path)) for path in alone]
        known_jobs = [(path, facts) for path, facts in provenances if facts is not None]
        for path, facts in known_jobs:
            self._outputs(path, facts)
        for path, facts in known_jobs:
            self._inputs(path, facts)
            self._params(path, facts)
        files: dict[Path, RecordedFile] = {}
        for path, kind in listed:
            for file in self._files(path, kind):
                known = files.setdefault(file.path, file)
                if known.sha256 != file.sha256 and known.digest == file.digest:
                    self.add(path, f"knows other bytes of {file.path} than {known.manifest}", repair_command(path))
        unsuspected = [file for path, file in files.items() if path not in self.faults]
        for file, (what, size) in zip(unsuspected, self.map_items(_compared, unsuspected, "files"), strict=True):
            self.checked[file.path] = size
            if what:
                self.add(file.path, what, repair_command(file.manifest))

    def outputs(self, provenance: Path) -> None:
        """Check the outputs of a job that has no manifest of its own, as its provenance lists them."""
        facts = self._provenance(provenance, provenance)
        if facts and any(_differs(Path(name), known) != MISSING for name, known in facts.outputs.items()):
            declared = Path(next(iter(facts.outputs)))
            self._outputs(declared, facts)
            self._inputs(declared, facts)

    def leftovers(self, folder: Path, pattern: str = ".*.tmp-*") -> None:
        """Note what killed jobs left below a folder."""
        for path in sorted(folder.rglob(pattern)):
            if not any(parent in self.faults for parent in path.parents):
                self.add(path, "left by a job that was killed", f"rm -r {shlex.quote(str(path))}")

    def archive(self, run: str) -> None:
        """Check the archive of a run, and that its folder holds the same bytes."""
        record, archive = Path(f"submissions/{run}.provenance.json"), Path(f"submissions/{run}.tar.gz")
        try:
            facts = read_manifest(record, SubmissionProvenance)
            read_manifest(record.with_name(f"{run}.check.json"), CheckReport)
            self.checked[archive] = archive.stat().st_size
            if file_digest(archive) != facts.archive_sha256:
                self.add(archive, "other bytes than its provenance says", repair_command(archive))
            else:
                self._submission_folder(archive)
        except READING as error:
            self.add(archive, str(error), repair_command(archive))

    def _submission_folder(self, archive: Path) -> None:
        with tarfile.open(archive, "r|gz") as members:
            for member in members:
                path = archive.parent / member.name
                stream = members.extractfile(member)
                self.checked[path] = member.size
                if stream is None or not path.is_file() or path.read_bytes() != stream.read():
                    self.add(path, "not the file that is in the archive", repair_command(archive))

    def _provenance(self, path: Path, manifest: Path) -> JobProvenance | None:
        try:
            facts = read_manifest(path, JobProvenance)
        except ManifestError as error:
            what = _shortly(error, path)
            self.add(path, f"no readable provenance ({what})", repair_command(manifest))
            return None
        for name, version in facts.versions.items():
            self.versions.setdefault(name, set()).add(version)
        self.checked[path] = path.stat().st_size
        return facts

    def _outputs(self, declared: Path, facts: JobProvenance) -> None:
        for name, known in facts.outputs.items():
            path = Path(name)
            if what := _differs(path, known):
                self.add(path, what, repair_command(declared))
            else:
                self.checked[path] = known.size

    def _inputs(self, declared: Path, facts: JobProvenance) -> None:
        """Note a manifest that was made from other inputs than those that lie there now."""
        for name, known in facts.inputs.items():
            path = Path(name)
            if path not in self.faults and _differs(path, known) not in {None, MISSING}:
                self.add(declared, f"made from another {name}", repair_command(declared))

    def _params(self, path: Path, facts: JobProvenance) -> None:
        for name in facts.differing(self.expected.get(str(path), {})):
            self.add(path, f"made with other {name} than it would be now", snakemake_command(str(path)))

    def _files(self, path: Path, kind: type[Manifest]) -> Iterator[RecordedFile]:
        try:
            listed = list(recorded_files(path, read_manifest(path, kind), self.roots))
        except READING as error:
            self.add(path, _shortly(error, path), repair_command(path))
            return
        self.checked[path] = path.stat().st_size
        for file in listed:
            flat = Path(os.path.normpath(file.path))
            yield RecordedFile(flat, file.manifest, file.sha256, file.digest)


def _shortly(error: BaseException, path: Path) -> str:
    """Return what an error says beyond the path and the command, which have columns of their own."""
    return str(error).removeprefix(f"{path}: ").partition("; rebuild it")[0]


def _differs(path: Path, facts: FileRecord) -> str | None:
    """Say in what a file differs from what its job left, which may be that it is not there."""
    try:
        return difference(path, facts)
    except FileNotFoundError:
        return MISSING
    except (OSError, ValueError) as error:  # a name with a zero byte is no value
        return f"not readable ({error})"


def _compared(file: RecordedFile) -> tuple[str | None, int]:
    """Return what is wrong with a file, if anything, and its size."""
    try:
        require_plain_file(file.path, 1 << 63)
        size = file.path.stat().st_size
        digest = file.digest(file.path)
    except FileNotFoundError:
        return MISSING, 0
    except READING as error:
        return f"damaged: {str(error).removeprefix(f'{file.path}: ')}", 0
    return (None if digest == file.sha256 else f"other bytes than {file.manifest} says"), size


def verify_run(  # noqa: PLR0917 (as the stage has them)
    run: str,
    root: Path,
    truth_root: Path | None,
    demo: Sequence[Path],
    expected: Mapping[str, Mapping[str, Any]],
    map_items: MapItems,
) -> Verification:
    """Compare all artifacts of a run and of its variations, as far as they are there, with what is known of them.

    Parameters
    ----------
    run : str
        Name of the run.
    root, truth_root : Path
        Folders of the photographs and of the private truth.
    demo : sequence of Path
        The demo's manifest, if the demo is drawn.
    expected : mapping of str to mapping
        Settings and code of now by path of a manifest; teachers of the run are among them.
    map_items : callable
        Applies a function to every file.

    Returns
    -------
    Verification
        What is wrong, and how much was looked at.
    """
    found = Verification(map_items, expected, {"data": root, "truth": truth_root})
    places = [Path("out") / run, *sorted(Path("out").glob(f"{run}+*"))]
    teachers = [Path(path) for path in expected if Path(path).name == "teacher.json"]
    listed = [(path, STAGES["demo"].manifest_class()) for path in demo]
    listed += [(path, STAGES["distill"].manifest_class()) for path in teachers]
    listed += [item for place in places for item in _manifests(place).items()]
    found.manifests([(path, kind) for path, kind in listed if path.is_file()])
    for place in places:
        for provenance in sorted((place / "logs").glob("*.prov.json")):
            found.outputs(provenance)
        found.leftovers(place)
    for teacher in teachers:
        found.leftovers(teacher.parent)
    found.leftovers(Path("submissions"), f".{run}.*tmp-*")
    if any(Path("submissions").glob(f"{run}.*")):
        found.archive(run)
    return found


def _manifests(place: Path) -> dict[Path, type[Manifest]]:
    """Manifests below a place and their classes, in the order of the flow."""
    kinds = {stage.manifest: stage.manifest_class() for stage in STAGES.values() if stage.kind}
    kinds |= {STAGES[stage].outputs[name]: kind for (stage, name), kind in BESIDE.items()}
    found: dict[Path, type[Manifest]] = {}
    for pattern, kind in kinds.items():
        base, _, below = pattern.partition("}/")
        if base in ("out/{place", "out/{run"):
            for path in sorted(place.glob(re.sub(r"{\w+}", "*", below))):
                if not path.name.endswith(".prov.json") and ".tmp-" not in str(path):
                    found[path] = kind  # a pattern may match what a later one knows better
    return found


def print_verification(found: Verification, stream: TextIO = sys.stdout) -> None:
    """Print what is wrong as a table with the command that repairs each line, and how much was looked at.

    Parameters
    ----------
    found : Verification
        What was found.
    stream : text stream
        Where to print.
    """
    faults = list(found.faults.values())
    rows = [("file", "what is wrong", "repair"), *((shown(it.path), shown(it.what), it.command) for it in faults)]
    if faults:
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        for path, what, command in rows:
            stream.write(f"{path:{widths[0]}}  {what:{widths[1]}}  {command}\n")
        stream.write(f"after these repairs: {snakemake_command('submission')}\n")
    for name, versions in sorted(found.versions.items()):
        if len(versions) > 1:
            stream.write(f"note: made with several versions of {name}: {', '.join(sorted(versions))}\n")
    if absent := _absent(found.expected):
        stream.write(f"note: {absent} of {len(found.expected)} manifests are not made yet\n")
    size = sum(found.checked.values()) / 1e6
    verdict = f"{len(faults)} wrong" if faults else "all as it should be"
    stream.write(f"verify: {len(found.checked)} files, {size:.1f} MB read: {verdict}\n")
    stream.flush()


def _absent(expected: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(not Path(path).exists() for path in expected)
