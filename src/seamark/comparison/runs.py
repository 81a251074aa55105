"""Runs side by side: what each scored on which images, and whether the runs can be compared at all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from seamark.errors import ManifestError
from seamark.evaluation.bootstrap import load_resamples
from seamark.evaluation.images import TEST_SPLITS
from seamark.evaluation.summary import SummaryRow, summary_rows
from seamark.files.images import Float64Array
from seamark.manifests.base import read_manifest
from seamark.manifests.evaluation import EvaluationManifest, ImageScores
from seamark.manifests.index import ImageRecord, IndexManifest
from seamark.repair import repair_command
from seamark.settings.base import Split

SubsetKey = tuple[str, Split, str]
"""Category, split and light."""


@dataclass(frozen=True)
class RunFiles:
    """One of the runs that are compared, and its manifests.

    Parameters
    ----------
    name : str
        How the run is called on the page.
    changes : str
        YAML of the settings that differ from the first run; empty for the first run.
    evaluation : tuple of Path
        One manifest per category.
    index, truth, maps, coarse, refined : tuple of Path
        One manifest per category and split.
    """

    name: str
    changes: str
    evaluation: tuple[Path, ...]
    index: tuple[Path, ...]
    truth: tuple[Path, ...]
    maps: tuple[Path, ...]
    coarse: tuple[Path, ...]
    refined: tuple[Path, ...]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "RunFiles":
        """Take a run from the params of the stage, where paths are text."""
        lists = {field.name: tuple(map(Path, entry[field.name])) for field in fields(cls)[2:]}
        return cls(entry["name"], entry["changes"], **lists)


@dataclass(frozen=True)
class ScoredSubset:
    """Scores of one run on one split or light of a category, and the scores of every resample of its images."""

    row: SummaryRow
    resampled: Mapping[str, Float64Array]
    """By name of the score; float64 (resamples,), NaN where undefined; empty without resamples."""
    path: Path
    """The evaluation manifest."""


@dataclass(frozen=True)
class ScoredRun:
    """One run with everything that its evaluation manifests say.

    Parameters
    ----------
    files : RunFiles
        Where it lies.
    evaluations : mapping of str to tuple of Path and EvaluationManifest
        By category.
    photographs : mapping of str to mapping of (split, id) to ImageRecord
        Entries of the index by category.
    subsets : mapping of SubsetKey to ScoredSubset
        Every split with known truth, and every light of it.
    """

    files: RunFiles
    evaluations: Mapping[str, tuple[Path, EvaluationManifest]]
    photographs: Mapping[str, Mapping[tuple[Split, str], ImageRecord]]
    subsets: Mapping[SubsetKey, ScoredSubset]

    def images(self, category: str, split: Split) -> dict[str, ImageScores]:
        """Return the scores of the images of a split by id; empty when the run has no scores for it."""
        if category not in self.evaluations:
            return {}
        return {image.id: image for image in self.evaluations[category][1].images if image.split == split}


def read_runs(runs: Sequence[RunFiles]) -> list[ScoredRun]:
    """Read the evaluation of every run and make sure that they are about the same images.

    Parameters
    ----------
    runs : sequence of RunFiles
        At least one; the first is the one that differences are taken against.

    Returns
    -------
    list of ScoredRun
        In the order given.

    Raises
    ------
    ManifestError
        If a manifest is missing or damaged, or two runs were scored on different images or with different settings.
    """
    scored = [_read_run(files) for files in runs]
    categories = list(dict.fromkeys(category for run in scored for category in run.evaluations))
    for category in categories:
        first, *others = [run for run in scored if category in run.evaluations]
        for other in others:
            _require_same_measure(first, other, category)
    for category, split in evaluated_splits(scored):
        first, *others = [run for run in scored if run.images(category, split)]
        for other in others:
            _require_same_images(first, other, category, split)
    return scored


def evaluated_splits(runs: Sequence[ScoredRun]) -> list[tuple[str, Split]]:
    """Return every category and split with scores of at least one run; categories as the runs list them."""
    found = {(category, split) for run in runs for category, split, _ in run.subsets}
    categories = dict.fromkeys(category for run in runs for category in run.evaluations)
    return [(category, split) for category in categories for split in TEST_SPLITS if (category, split) in found]


def _read_run(files: RunFiles) -> ScoredRun:
    evaluations: dict[str, tuple[Path, EvaluationManifest]] = {}
    for path in files.evaluation:
        manifest = read_manifest(path, EvaluationManifest)
        if manifest.category in evaluations:
            raise ManifestError(
                f"{path}: run {files.name} already has scores of {manifest.category} in "
                f"{evaluations[manifest.category][0]}; list one evaluation manifest per category"
            )
        evaluations[manifest.category] = path, manifest
    photographs: dict[str, dict[tuple[Split, str], ImageRecord]] = {}
    for index in (read_manifest(path, IndexManifest) for path in files.index):
        photographs.setdefault(index.category, {}).update({(index.split, image.id): image for image in index.images})
    for category, (path, manifest) in evaluations.items():
        for image in manifest.images:
            if (image.split, image.id) not in photographs.get(category, {}):
                raise ManifestError(
                    f"{path}: {image.split}/{image.id} is not in the index of {category} of run {files.name}; "
                    f"rebuild it with: {repair_command(path)}"
                )
    subsets = {key: subset for path, manifest in evaluations.values() for key, subset in _subsets(path, manifest)}
    return ScoredRun(files, evaluations, photographs, subsets)


def _subsets(path: Path, manifest: EvaluationManifest) -> Iterator[tuple[SubsetKey, ScoredSubset]]:
    resampled = load_resamples(path, manifest)
    names = () if manifest.resampled is None else manifest.resampled.scores
    for number, row in enumerate(summary_rows([manifest])[: len(manifest.subsets)]):
        columns = {} if resampled is None else dict(zip(names, resampled[number], strict=True))
        yield (row.category, row.split, row.light), ScoredSubset(row, columns, path)


def _require_same_measure(first: ScoredRun, other: ScoredRun, category: str) -> None:
    """Refuse scores that were computed with other limits or over other resamples."""
    (first_path, one), (path, two) = first.evaluations[category], other.evaluations[category]
    for name in ("fpr_limit", "iap_recall", "resamples"):
        if getattr(one, name) != getattr(two, name):
            raise ManifestError(
                f"{path}: evaluate.{name} is {getattr(two, name)}, but {getattr(one, name)} in {first_path}; "
                "scores of different settings cannot be compared: give both runs the same evaluate block"
            )
    seeds = [manifest.resampled and manifest.resampled.seed for manifest in (one, two)]
    if seeds[0] != seeds[1]:
        raise ManifestError(
            f"{path}: its resamples are not those of {first_path}, as an earlier version wrote one of them; "
            "run the evaluate stage of both runs again"
        )


def _require_same_images(first: ScoredRun, other: ScoredRun, category: str, split: Split) -> None:
    ones, twos = first.images(category, split), other.images(category, split)
    first_path, path = first.evaluations[category][0], other.evaluations[category][0]
    both = f"compare only runs over the same photographs; {first_path} is run {first.files.name}, "
    both += f"{path} is run {other.files.name}"
    if list(ones) != list(twos):
        odd = sorted(set(ones) ^ set(twos)) or [next(a for a, b in zip(ones, twos, strict=True) if a != b)]
        raise ManifestError(
            f"{path}: {category} {split} has {len(twos)} images, but {len(ones)} in {first_path}, "
            f"or another order; first difference: {odd[0]}; {both}"
        )
    for name in ones:
        records = [run.photographs[category][split, name] for run in (first, other)]
        truths = [(image.bad, image.left_out, image.defect_px, image.light) for image in (ones[name], twos[name])]
        if records[0].sha256 != records[1].sha256 or truths[0] != truths[1]:
            raise ManifestError(
                f"{path}: {category} {split}/{name} is another photograph or has another truth than in "
                f"{first_path}; {both}"
            )
