"""Scores of several runs with their differences, and 95 % intervals of both, from the same resampled images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from seamark.comparison.runs import ScoredRun, ScoredSubset, evaluated_splits
from seamark.evaluation.bootstrap import percentile_interval
from seamark.evaluation.images import TEST_SPLITS
from seamark.evaluation.summary import IMAGES, INTERVALS, MEAN, WHOLE_SPLIT, SummaryRow
from seamark.files.images import Float64Array
from seamark.settings.base import Split

Interval = tuple[float, float]


@dataclass(frozen=True)
class ComparedScore:
    """One score of one run, and how it differs from that of the first run; None where undefined."""

    value: float | None
    interval: Interval | None
    difference: float | None
    """None for the first run itself, too."""
    difference_interval: Interval | None
    best: bool
    """Whether no other run has a higher value."""

    @property
    def certain(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        ends = self.difference_interval
        return ends is not None and not ends[0] <= 0.0 <= ends[1]


@dataclass(frozen=True)
class ComparedRow:
    """Scores of one run on one set of images."""

    run: str
    number: int
    """Place of the run, from 0."""
    scores: Mapping[str, ComparedScore]
    """By name, as in the summary; empty where the run has no scores for these images."""
    paths: tuple[Path, ...]
    """The evaluation manifests that they come from."""


@dataclass(frozen=True)
class ComparedSubset:
    """All runs on one split or light of a category, or their means over categories."""

    category: str
    split: Split
    light: str
    categories: tuple[str, ...]
    """What the mean is over; the category itself where it is none."""
    images: int
    bad_images: int
    left_out_images: int
    """Of all images, those that scores of pixels and defects leave out."""
    rows: tuple[ComparedRow, ...]
    """One per run."""


@dataclass(frozen=True)
class _Scores:
    values: Mapping[str, float | None]
    intervals: Mapping[str, Interval]
    resampled: Mapping[str, Float64Array]
    paths: tuple[Path, ...]


def compared_subsets(runs: Sequence[ScoredRun]) -> list[ComparedSubset]:
    """Compare the runs on every split, on every light of it where there are several, and in the mean.

    Parameters
    ----------
    runs : sequence of ScoredRun
        The first is the one that differences are taken against.

    Returns
    -------
    list of ComparedSubset
        Means first, one per split, over the categories that every run has which has the split at all; then category
        by category, each split followed by its lights.
    """
    pairs = evaluated_splits(runs)
    means = [_mean_subset(runs, split) for split in TEST_SPLITS if split in {pair[1] for pair in pairs}]
    return means + [subset for category, split in pairs for subset in _split_subsets(runs, category, split)]


def missing_parts(runs: Sequence[ScoredRun]) -> list[tuple[str, str, Split]]:
    """List run, category and split of what some runs have scores for and others have not."""
    parts = evaluated_splits(runs)
    return [
        (run.files.name, category, split)
        for run in runs
        for category, split in parts
        if (category, split, WHOLE_SPLIT) not in run.subsets
    ]


def _split_subsets(runs: Sequence[ScoredRun], category: str, split: Split) -> list[ComparedSubset]:
    lights = {key[2] for run in runs for key in run.subsets if key[:2] == (category, split)} - {WHOLE_SPLIT}
    shown = [WHOLE_SPLIT, *sorted(lights)] if len(lights) > 1 else [WHOLE_SPLIT]
    subsets = []
    for light in shown:
        found = [run.subsets.get((category, split, light)) for run in runs]
        row = next(subset.row for subset in found if subset is not None)
        scores = [None if subset is None else _of_subset(subset) for subset in found]
        subsets.append(ComparedSubset(category, split, light, (category,), **_images([row]), rows=_rows(runs, scores)))
    return subsets


def _of_subset(subset: ScoredSubset) -> _Scores:
    values = {name: getattr(subset.row, name) for name in INTERVALS}
    return _Scores(values, subset.row.intervals, subset.resampled, (subset.path,))


def _mean_subset(runs: Sequence[ScoredRun], split: Split) -> ComparedSubset:
    having = [{key[0] for key in run.subsets if key[1] == split} for run in runs]
    shared = set.intersection(*filter(None, having))
    categories = tuple(dict.fromkeys(name for run in runs for name in run.evaluations if name in shared))
    parts = [
        [run.subsets[category, split, WHOLE_SPLIT] for category in categories] if shared <= found and found else []
        for run, found in zip(runs, having, strict=True)
    ]
    rows = next((list_ for list_ in parts if list_), [])
    return ComparedSubset(
        category=MEAN,
        split=split,
        light=WHOLE_SPLIT,
        categories=categories,
        **_images([part.row for part in rows]),
        rows=_rows(runs, [_mean([_of_subset(part) for part in list_]) if list_ else None for list_ in parts]),
    )


def _images(rows: Sequence[SummaryRow]) -> dict[str, int]:
    return {name: sum(getattr(row, name) for row in rows) for name in IMAGES}


def _mean(parts: Sequence[_Scores]) -> _Scores:
    """Average over categories; None if one of the scores is, without resamples if one category has none."""
    columns = {name: [part.values[name] for part in parts] for name in INTERVALS}
    values = {
        name: None if None in column else fmean(value for value in column if value is not None)
        for name, column in columns.items()
    }
    shared = set.intersection(*(set(part.resampled) for part in parts))
    resampled = {
        name: np.mean([part.resampled[name] for part in parts], axis=0) for name in INTERVALS if name in shared
    }
    intervals = {name: found for name, values_ in resampled.items() if (found := _interval(values_)) is not None}
    return _Scores(values, intervals, resampled, tuple(path for part in parts for path in part.paths))


def _rows(runs: Sequence[ScoredRun], scores: Sequence[_Scores | None]) -> tuple[ComparedRow, ...]:
    known = [found for found in scores if found is not None]
    columns = {name: [value for found in known if (value := found.values[name]) is not None] for name in INTERVALS}
    best = {name: max(values) for name, values in columns.items() if values}
    rows = []
    for number, (run, found) in enumerate(zip(runs, scores, strict=True)):
        first = scores[0] if number else None
        cells = {} if found is None else {name: _compared(name, found, first, best.get(name)) for name in INTERVALS}
        rows.append(ComparedRow(run.files.name, number, cells, () if found is None else found.paths))
    return tuple(rows)


def _compared(name: str, scores: _Scores, first: _Scores | None, best: float | None) -> ComparedScore:
    value, reference = scores.values[name], None if first is None else first.values[name]
    resampled = scores.resampled.get(name)
    references = None if first is None else first.resampled.get(name)
    return ComparedScore(
        value=value,
        interval=scores.intervals.get(name),
        difference=None if value is None or reference is None else value - reference,
        difference_interval=None if resampled is None or references is None else _interval(resampled - references),
        best=value is not None and value == best,
    )


def _interval(resampled: Float64Array) -> Interval | None:
    defined = resampled[~np.isnan(resampled)]
    return percentile_interval(defined) if defined.size else None
