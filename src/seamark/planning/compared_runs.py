"""Inputs of the targets compare and ablate: the files of a run, its variations and other runs."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from seamark.errors import ConfigError
from seamark.flow import EVERY, Source
from seamark.planning.jobs import RunJobs, StageJob
from seamark.planning.variations import Variation
from seamark.verification.staleness import Staleness

INPUTS = {
    "evaluation": "evaluate",
    "index": "index",
    "truth": "truth",
    "maps": "fuse",
    "coarse": "binarize",
    "refined": "verdict",
}
"""Inputs of the stage, and the stages that make them."""


class PlannedComparison:
    """A run beside its variations and beside other runs.

    Parameters
    ----------
    rows : sequence of Variation
        The run itself, then its variations.
    runs : sequence of str
        Names of other, finished runs.
    jobs : RunJobs
        Knows where the files of the variations lie.
    """

    def __init__(self, rows: Sequence[Variation], runs: Sequence[str], jobs: RunJobs) -> None:
        self._rows, self._runs, self._jobs = rows, runs, jobs

    def files(self) -> dict[str, list[str]]:
        """Return the files of all rows by input name, each once.

        Raises
        ------
        ConfigError
            Naming the first file that a finished run lacks, or that is stale.
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
        rows = [
            {"name": row.name, "changes": row.changes, **self._row(partial(self._jobs.manifest, row.place))}
            for row in self._rows
        ]
        return rows + [{"name": run, "changes": "", **self._finished(run)} for run in self._runs]

    def behind(self) -> list[str]:
        """Return every manifest on the way to the rows of the run and its variations, each once."""
        paths = (path for row in self._rows for path in self._jobs.manifests(row.place, ["evaluate"]))
        return list(dict.fromkeys(paths))

    def _finished(self, run: str) -> dict[str, list[str]]:
        """Files of a finished run, which owns all of them."""
        files = self._row(lambda job: job.files(run, run)["manifest"])
        for path in (path for paths in files.values() for path in paths):
            if not Path(path).is_file():
                raise ConfigError(
                    f"compare.runs: {run} is not finished, it lacks {path}; finish it first: "
                    "snakemake --cores all --configfile <its presets> -- evaluation"
                )
        staleness = Staleness({})
        for path in files["evaluation"]:
            if reason := staleness.reason(Path(path).with_suffix(".prov.json")):
                raise ConfigError(
                    f"compare.runs: the scores {path} of {run} are stale, {reason}; make them again first: "
                    "snakemake --cores all --configfile <its presets> -- evaluation"
                )
        return files

    def _row(self, manifest: Callable[[StageJob], str]) -> dict[str, list[str]]:
        own = self._rows[0].place
        return {
            name: [manifest(job) for job in self._jobs.jobs(own, Source(stage, EVERY))]
            for name, stage in INPUTS.items()
        }
