"""What the stage of the targets compare and ablate is handed: the files of a run, its variations and other runs."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from seamark.errors import ConfigError
from seamark.planning.flow import SharedStages, StageJob, manifest_in
from seamark.planning.variations import Variation

PER_SPLIT = {"maps": "fuse", "coarse": "binarize", "refined": "refine"}
"""Inputs with one manifest per category and split, and the stage that makes it."""
INPUTS = ("evaluation", "index", "truth", *PER_SPLIT)


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
    keep_tiles : bool
        Whether its tiles stay.
    """

    def __init__(
        self,
        rows: Sequence[Variation],
        runs: Sequence[str],
        shared: SharedStages,
        categories: Sequence[str],
        splits: Sequence[str],
        *,
        keep_tiles: bool,
    ) -> None:
        self._rows = rows
        self._runs = runs
        self._shared = shared
        self._categories = categories
        self._splits = splits
        self._keep_tiles = keep_tiles

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

    def behind(self) -> list[str]:
        """Return every manifest on the way to the rows of the run and its variations, each once."""
        return list(dict.fromkeys(path for row in self._rows for path in self._behind(row.place)))

    def _behind(self, place: str) -> list[str]:
        return self._shared.manifests(place, ["evaluate"], self._categories, keep_tiles=self._keep_tiles)

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

        def manifest(job: StageJob) -> str:
            return shared.manifest(place, job) if shared else manifest_in(place, job)

        return {
            "evaluation": [manifest(StageJob("evaluate", category)) for category in self._categories],
            "index": [f"out/{run}/00_index/{category}.json" for category in self._categories],
            "truth": [f"out/{run}/00_index/{category}.truth.json" for category in self._categories],
            **{
                name: [manifest(StageJob(stage, *where)) for where in product(self._categories, self._splits)]
                for name, stage in PER_SPLIT.items()
            },
        }
