"""What the stage of the targets compare and ablate is handed: the files of a run, its variations and other runs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from seamark.errors import ConfigError
from seamark.shared_stages import SharedStages, StageJob
from seamark.variations import Variation

STAGES = {
    "maps": ("fuse", "45_fused"),
    "coarse": ("binarize", "60_coarse"),
    "refined": ("refine", "70_refined"),
}
"""Inputs with one manifest per category and split: rule and folder."""
INPUTS = ("evaluation", "index", "truth", *STAGES)


class PlannedComparison:
    """A run beside its variations and beside other runs.

    Parameters
    ----------
    rows : sequence of Variation
        The run itself, then its variations.
    runs : sequence of str
        Names of other, finished runs.
    shared : SharedStages
        Knows where the files of the variations lie.
    categories, splits : sequence of str
        Of the run.
    """

    def __init__(
        self,
        rows: Sequence[Variation],
        runs: Sequence[str],
        shared: SharedStages,
        categories: Sequence[str],
        splits: Sequence[str],
    ) -> None:
        self._rows = rows
        self._runs = runs
        self._shared = shared
        self._categories = categories
        self._splits = splits

    def files(self) -> dict[str, list[str]]:
        """Return the files of all rows by input name, each once.

        Raises
        ------
        ConfigError
            Naming the first file that a finished run lacks.
        """
        rows = self.rows()
        return {name: list(dict.fromkeys(path for row in rows for path in row[name])) for name in INPUTS}

    def rows(self) -> list[dict[str, Any]]:
        """Return name, changes and files of every row; files stand in the order of categories, then splits.

        Raises
        ------
        ConfigError
            Naming the first file that a finished run lacks.
        """
        own = self._rows[0].place
        rows = [
            {"name": row.name, "changes": row.changes, **self._row(own, row.place, self._shared)} for row in self._rows
        ]
        return rows + [{"name": run, "changes": "", **self._finished(run)} for run in self._runs]

    def _finished(self, run: str) -> dict[str, list[str]]:
        files = self._row(run, run, None)
        for path in (path for paths in files.values() for path in paths):
            if not Path(path).is_file():
                raise ConfigError(
                    f"compare.runs: {run} is not finished, it lacks {path}; finish it first: "
                    "snakemake --cores all --configfile <its presets> -- evaluation"
                )
        return files

    def _row(self, run: str, place: str, shared: SharedStages | None) -> dict[str, list[str]]:
        """Files of a row; a finished run owns all of its files."""

        def owner(job: StageJob) -> str:
            return shared.owner(place, job) if shared else place

        def per_split(rule: str, folder: str) -> Iterator[str]:
            for category in self._categories:
                for split in self._splits:
                    yield f"out/{owner(StageJob(rule, category, split))}/{folder}/{category}/{split}.json"

        return {
            "evaluation": [
                f"out/{owner(StageJob('evaluate', category))}/90_eval/{category}.json" for category in self._categories
            ],
            "index": [f"out/{run}/00_index/{category}.json" for category in self._categories],
            "truth": [f"out/{run}/00_index/{category}.truth.json" for category in self._categories],
            **{name: list(per_split(rule, folder)) for name, (rule, folder) in STAGES.items()},
        }
