"""The plan that the Snakefile asks: names, targets, settings, code digests. In seconds: no NumPy, OpenCV or torch."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from seamark.data.layout import OFFICIAL_COUNTS
from seamark.errors import ConfigError
from seamark.flow import ALL, OWN, STAGES, Source, work_of
from seamark.forecast.photographs import DataSetSizes
from seamark.manifests.submission import ChallengeVerdict
from seamark.planning.buildable import require_buildable
from seamark.planning.challenge_rules import challenge_verdicts
from seamark.planning.code_digest import code_digest
from seamark.planning.compared_runs import PlannedComparison
from seamark.planning.jobs import RunJobs, StageJob
from seamark.planning.notes import settings_notes
from seamark.planning.photographs import PlannedPhotographs
from seamark.planning.refusals import require_folders, require_judged_alone
from seamark.planning.required_weights import (
    RequiredWeights,
    detector_weights,
    distill_weights,
    refine_weights,
    require_all,
)
from seamark.planning.resources import PlannedForecast
from seamark.planning.run_lock import claimed
from seamark.planning.teachers import PlannedTeachers
from seamark.planning.variations import (
    FOR_THRESHOLDS,
    Variation,
    learners,
    plain,
    read_variations,
    with_member_presets,
)
from seamark.registry import DETECTORS, DetectorEntry
from seamark.running.devices import visible_gpus
from seamark.running.processor import PINNED
from seamark.settings.base import Settings
from seamark.settings.comparison import ComparisonPageSettings
from seamark.settings.config import Config, check_overrides, load_config
from seamark.settings.demo import DEMO_CATEGORIES
from seamark.settings.teacher import TeacherSettings
from seamark.settings.written import UNKNOWN, Sources
from seamark.teachers.naming import wanted_teacher

Params = Callable[[Any], Any]
Files = Callable[[Any], list[str]]


class Plan:
    """The resolved configuration in the form in which the Snakefile needs it.

    Parameters
    ----------
    raw : mapping
        The configuration as Snakemake merged it from files and command line.
    project : Path
        Folder of the Snakefile.
    sources : Sources
        The files that the configuration comes from, for messages.

    Raises
    ------
    ConfigError
        Listing every problem of the configuration.
    DataError
        If the data root is missing or a category lacks images of a split.
    """

    def __init__(self, raw: Mapping[str, Any], project: Path, sources: Sources = UNKNOWN) -> None:
        self.raw = dict(raw)
        self._lock: IO[str] | None = None
        completed, self._from_presets = with_member_presets(self.raw, (Path(), project))
        self.config = load_config(completed, sources)
        self.stages = project / "stages"
        self.name = self.config.run
        self.out = f"out/{self.name}"
        self.root = str(self.config.data.root)
        self.truth_root = None if self.config.data.truth_root is None else str(self.config.data.truth_root)
        self.splits = self.config.data.splits
        self.photographs = PlannedPhotographs(self.config)
        self.categories = self.photographs.categories
        known = (*self.photographs.available, *OFFICIAL_COUNTS, *DEMO_CATEGORIES)
        check_overrides(completed, known, sources)
        self._teaching = PlannedTeachers(self.config)
        self._own = Variation(self.name, self.name, completed, self._teaching, sources=sources)
        self._varied = read_variations(self._own, (Path(), project), known)
        self.variations = (self._own, *self._varied["ablate"], *self._varied["compare"])
        self._by_place = {variation.place: variation for variation in self.variations}
        self.jobs = RunJobs(self.variations, self.categories)
        require_folders(self.config.data, self.categories, self.variations)
        require_buildable(self.categories, self.variations)
        self.photographs.require(self.variations)

    @property
    def wildcards(self) -> dict[str, str]:
        """What wildcards may stand for, as regular expressions."""
        configs = [row.resolved(category) for row in self.variations for category in (None, *self.categories)]
        choices = {
            "place": self._by_place,
            "category": self.categories,
            "detector": dict.fromkeys(name for config in configs for name in config.detectors),
            "grid": dict.fromkeys(name for config in configs for name in config.grids),
            "split": ("train", *FOR_THRESHOLDS, *self.splits),
        }
        return {"teacher": "[0-9a-f]{16}", "fold": "[1-9][0-9]?"} | {
            name: "|".join(map(re.escape, words)) for name, words in choices.items()
        }

    @cached_property
    def gpus(self) -> int:
        """Number of GPUs that jobs may use."""
        return len(visible_gpus())

    @cached_property
    def forecast(self) -> PlannedForecast:
        """What jobs will take."""
        sizes = DataSetSizes(self.config, self.photographs.folders)
        return PlannedForecast(self._by_place, self.categories, sizes, self.gpus)

    def memory(self, rule: str) -> Callable[[Any], int]:
        """Return a resource function that gives the memory in MB that a rule's jobs ask for."""
        return self.forecast.memory(rule)

    def gpu(self, rule: str) -> Callable[[Any], int]:
        """Return a resource function that gives the GPUs that a rule's jobs can use: one with a network, or none."""

        def wanted(wildcards: Any) -> int:
            unused = rule == "refine" and self.settings("refine")(wildcards)["method"] != "sam"
            return int(STAGES[rule].gpu_threads > 0 and not unused)

        return wanted

    def threads(self, rule: str, gpus: int) -> Callable[[Any], int]:
        """Return a function that gives the threads of a rule's jobs, where Snakemake has so many GPUs."""
        stage, gpu = STAGES[rule], self.gpu(rule)
        return lambda wildcards: stage.gpu_threads if gpus and gpu(wildcards) else stage.threads

    def log(self, rule: str) -> str:
        """Return the path of the logs of a rule, with its wildcards."""
        return self._record(rule, "logs", ".log")

    def benchmark(self, rule: str) -> str:
        """Return the path of the benchmarks of a rule, with its wildcards."""
        return self._record(rule, "benchmarks", ".tsv")

    def _record(self, rule: str, folder: str, suffix: str) -> str:
        stage = STAGES[rule]
        if "teacher" in stage.wildcards:
            return stage.manifest.removesuffix(".json") + suffix
        place = "out/{place}" if stage.varies else self.out
        return "/".join([place, folder, rule, *(f"{{{name}}}" for name in stage.wildcards)]) + suffix

    def settings(self, name: str) -> Params:
        """Return a params function that gives resolved settings by the name that ``Variation.settings`` knows."""

        def block(wildcards: Any) -> Any:
            return self._variation(wildcards).settings(name, wildcards)

        return block

    def teacher_settings(self, wildcards: Any) -> dict[str, Any]:
        """Return the settings of a teacher."""
        return plain(self.teachers[wildcards.teacher])

    def detector_class(self, wildcards: Any) -> str:
        """Return ``module:Class`` of a job's detector."""
        return self._registered(wildcards).target

    def code(self, rule: str) -> Params:
        """Return a params function that gives the digest of the code that a rule's jobs run, pinned loops included."""
        script = self.stages / f"{work_of(rule)}.py"
        loops = tuple(PINNED.items()) if self.config.reproducible == "any_cpu" else ()

        def digest(wildcards: Any) -> str:
            detector = (self._registered(wildcards).module,) if script.stem in ("train", "infer") else ()
            weights = tuple(needed.source for needed in self._weights_of(rule, wildcards))
            return code_digest(script, detector, weights, loops)

        return digest

    def made(self, stage: str, output: str = "", split: str = OWN) -> Files:
        """Return an input function for what a stage made, at the job's own place or where it is shared.

        Parameters
        ----------
        stage : str
            Name of its rule.
        output : str
            Name of its output, if that is not the one that stands for its jobs.
        split : str
            ``own`` for the job's own split, ``every`` for one file per split, ``calibrated`` for these and the splits
            that only thresholds see, ``private`` for the private ones, or the name of a split.

        Returns
        -------
        callable
            Takes wildcards, returns paths by category, then by split, by detector and by fold.
        """

        def files(wildcards: Any) -> list[str]:
            place = self._variation(wildcards).place
            jobs = self.jobs.jobs(place, Source(stage, split), wildcards)
            return [self.jobs.files(place, job)[output or next(iter(STAGES[stage].outputs))] for job in jobs]

        return files

    def if_ranked(self, files: Files) -> Files:
        """Return an input function that gives files only to jobs that fit maps before they are ranked."""
        return lambda wildcards: files(wildcards) if self.settings("ranking")(wildcards) else []

    def if_weighed(self, files: Files) -> Files:
        """Return an input function that gives files only to jobs that weigh components against normal images."""
        return lambda wildcards: files(wildcards) if self.settings("binarize")(wildcards)["evidence_alpha"] else []

    def within_rules(self, files: Files) -> Files:
        """Return an input function that raises SeamarkError if a submission would break rules, or would be partial."""

        def allowed(wildcards: Any) -> list[str]:
            for verdict in self._verdicts:
                if refusal := verdict.refusal():
                    raise ConfigError(refusal)
            if not self.config.package.allow_partial:
                self.photographs.require_complete(self.jobs.private_splits)
            return files(wildcards)

        return allowed

    def archive(self, _wildcards: Any = None) -> list[str]:
        """Return all that the target ``submission`` asks for: archive, report and every manifest on the way.

        The manifests are named one by one so that a deleted one is made again, although nothing behind it needs it.

        Raises
        ------
        ConfigError
            If the run has no private split, so that there is nothing to submit.
        """
        if not self.jobs.private_splits:
            raise ConfigError(
                f"data.splits {list(self.splits)} has no private split, so there is nothing to submit; "
                "use the target report_page or masks"
            )
        return [f"submissions/{self.name}.tar.gz", *self.report_files()]

    def challenges(self, _wildcards: Any = None) -> list[dict[str, Any]]:
        """Return what the rules of every challenge say about the settings, ready for JSON."""
        return [verdict.model_dump(mode="json") for verdict in self._verdicts]

    @cached_property
    def _verdicts(self) -> tuple[ChallengeVerdict, ...]:
        places = [(category, split) for category in self.categories for split in self.jobs.private_splits]
        return challenge_verdicts({place: self._own.resolved(*place) for place in places}) if places else ()

    def report_files(self, _wildcards: Any = None) -> list[str]:
        """Return the report and every manifest on the way to it."""
        report = [f"{self.out}/report/index.html", f"{self.out}/report/plots/plots.json"]
        return [*report, *self.made("package", "check")(None), *self.on_the_way("preview", "evaluate")]

    def bundles(self, _wildcards: Any = None) -> list[str]:
        """Return the bundles of all categories and every manifest on the way to them.

        Raises
        ------
        ConfigError
            If a category has settings with which a photograph cannot be judged alone.
        """
        for category in self.categories:
            require_judged_alone(category, self._own)
        return [*self.made("pack", "bundle")(None), *self.on_the_way("pack")]

    def on_the_way(self, *stages: str) -> list[str]:
        """Return every manifest on the way to the ends of some stages, these included; tiles only if they are kept."""
        lists = [path for stage in ("index", "truth", "inventory") for path in self.made(stage, split=ALL)(None)]
        return [*lists, *self.jobs.manifests(self.name, stages)]

    def comparison_settings(self) -> dict[str, Any]:
        """Return the settings of the pages of compare and ablate."""
        return self.config.compare.model_dump(mode="json", include=set(ComparisonPageSettings.model_fields))

    def compared_files(self, target: str) -> Callable[[Any], dict[str, list[str]]]:
        """Return an input function that gives the files of all rows of ``compare`` or ``ablate`` by input name."""
        return lambda _wildcards: self._comparison(target).files()

    def compared_rows(self, target: str) -> Params:
        """Return a params function that gives name, changes and files of every row of ``compare`` or ``ablate``."""
        return lambda _wildcards: self._comparison(target).rows()

    def behind_rows(self, target: str) -> Callable[[Any], list[str]]:
        """Return an input function that gives every manifest on the way to the rows of ``compare`` or ``ablate``."""
        return lambda _wildcards: [*self.on_the_way(), *self._comparison(target).behind()]

    def _comparison(self, target: str) -> PlannedComparison:
        """Rows of a target: those of its own section only."""
        runs = self.config.compare.runs if target == "compare" else ()
        if not self._varied[target] and not runs:
            raise ConfigError(f"{target}: this section is empty; name a variation in it, or a run to compare with")
        return PlannedComparison([self._own, *self._varied[target]], runs, self.jobs)

    def expected(self, _wildcards: Any = None) -> dict[str, dict[str, Any]]:
        """Return settings and ``code`` from which manifests would be made now by the names of params, by path."""
        found = {}
        for key, teacher in self.teachers.items():
            path = self.jobs.manifest(self.name, StageJob("distill", teacher=key))
            found[path] = {"settings": plain(teacher), "code": self.code("distill")(StageJob("distill", teacher=key))}
        for variation in self.variations:
            for job in self.jobs.behind(variation.place, [name for name, stage in STAGES.items() if stage.varies]):
                if STAGES[job.stage].varies and self.jobs.owner(variation.place, job) == variation.place:
                    first, *others = STAGES[job.stage].settings
                    path = self.jobs.manifest(variation.place, job)
                    wildcards = SimpleNamespace(place=variation.place, **job._asdict())
                    found[path] = {name: variation.settings(name, job) for name in others}
                    found[path] |= {"settings": variation.settings(first, job), "code": self.code(job.stage)(wildcards)}
        return found

    def resolved_config(self) -> dict[str, Any]:
        """Return the whole configuration of the run with defaults filled in, ready for JSON."""
        own = self.config.model_dump(mode="json", exclude={"compare", "ablate"})
        types = self.config.detector_types
        blocks = {name: {"type": types[name], **plain(block)} for name, block in self.config.detector_blocks.items()}
        return {**own, "detectors": blocks, "categories": list(self.categories)}

    def notes(self) -> list[str]:
        """Return what a person should know of the settings before a run, one line each."""
        return settings_notes(self._own, self.photographs.learned, self.splits, self._from_presets)

    def claim_run_folder(self) -> None:
        """Hold the run folder, and with it those of its variations, until this process ends, however it ends.

        Raises
        ------
        SeamarkError
            If another Snakemake works on the same run.
        """
        self._lock = claimed(Path(self.out))

    def require_weights(self, jobs: Iterable[Any]) -> None:
        """Check that the pretrained weights of all of Snakemake's jobs are there, before the first of them runs.

        Raises
        ------
        WeightsError
            Naming every missing file at once.
        ConfigError
            If a backbone does not exist.
        """
        require_all(needed for job in jobs for needed in self._weights_of(job.rule.name, job.wildcards))

    def _weights_of(self, rule: str, wildcards: Any) -> Iterable[RequiredWeights]:
        if rule == "distill":
            _, learner = self._learners[wildcards.teacher]
            return distill_weights(learner, self.teachers[wildcards.teacher])
        if work_of(rule) in ("train", "infer"):
            return detector_weights(wildcards.detector, self._detector(wildcards))
        if rule == "refine":
            resolved = self._variation(wildcards).resolved(wildcards.category, wildcards.split)
            return refine_weights(resolved.refine)
        return ()

    @cached_property
    def teachers(self) -> dict[str, TeacherSettings]:
        """Teachers of the members of all categories and variations by key."""
        blocks = {key: config.detector_blocks[member] for key, (config, member) in self._learners.items()}
        return {key: wanted for key, block in blocks.items() if (wanted := wanted_teacher(block))}

    @cached_property
    def _learners(self) -> dict[str, tuple[Config, str]]:
        return learners(self.variations, self.categories)

    def _variation(self, wildcards: Any) -> Variation:
        """Variation whose job has such wildcards; rules without a place work for the run itself."""
        return self._by_place[getattr(wildcards, "place", self.name)]

    def _detector(self, wildcards: Any) -> Settings:
        return self._variation(wildcards).detector(wildcards.category, wildcards.detector)

    def _registered(self, wildcards: Any) -> DetectorEntry:
        """Row of the registry for the block of a job's detector."""
        return DETECTORS[self._variation(wildcards).detector_type(wildcards.category, wildcards.detector)]
