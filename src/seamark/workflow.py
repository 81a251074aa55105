"""What the Snakefile asks: names, targets, settings and code digests. Plans in seconds: no NumPy, OpenCV or torch."""

import fcntl
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import IO, Any

from seamark.challenge_rules import challenge_verdicts
from seamark.code_digest import code_digest
from seamark.config import Config, check_overrides, load_config, resolve
from seamark.devices import visible_gpus
from seamark.errors import ConfigError, SeamarkError
from seamark.layout import OFFICIAL_COUNTS, category_folders, find_images, listing_digest
from seamark.manifests.submission import ChallengeVerdict
from seamark.registry import DETECTORS
from seamark.required_weights import RequiredWeights, detector_weights, distill_weights, refine_weights, require_all
from seamark.settings.base import Settings
from seamark.settings.demo import DEMO_CATEGORIES
from seamark.settings.teacher import TeacherSettings
from seamark.teachers import (
    files_digest,
    folder_digest,
    teacher_key,
    teacher_path,
    training_photographs,
    wanted_teacher,
    with_teacher,
)

PRIVATE_SPLITS = ("test_private", "test_private_mixed")
Params = Callable[[Any], Any]
Files = Callable[[Any], list[str]]


def prepare_environment(project: Path) -> None:
    """Set what interpreters and libraries read when they start; every job inherits it.

    Jobs import the very modules whose digests the plan holds. Idle OpenMP threads that spin would take the cores from
    the jobs beside them, so they are told to sleep.

    Parameters
    ----------
    project : Path
        Folder of the Snakefile.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(project / "src"), os.environ.get("PYTHONPATH")]))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


class Plan:
    """The resolved configuration in the form in which the Snakefile needs it.

    Parameters
    ----------
    raw : mapping
        The configuration as Snakemake merged it from files and command line.
    project : Path
        Folder of the Snakefile.

    Raises
    ------
    ConfigError
        Listing every problem of the configuration.
    DataError
        If the data root is missing or a category lacks images of a split.
    """

    def __init__(self, raw: Mapping[str, Any], project: Path) -> None:
        self.raw = dict(raw)
        self._lock: IO[str] | None = None
        self.config: Config = load_config(self.raw)
        self.stages = project / "stages"
        self.run = self.config.run
        self.out = f"out/{self.run}"
        self.root = str(self.config.data.root)
        self.truth_root = None if self.config.data.truth_root is None else str(self.config.data.truth_root)
        self.detectors = tuple(self.config.detectors)
        self.splits = self.config.data.splits
        self.categories = self._categories()
        check_overrides(self.raw, (*self._available, *OFFICIAL_COUNTS, *DEMO_CATEGORIES))
        if not self.config.data.demo:
            self._check_splits()

    @property
    def demo_manifest(self) -> str:
        """Where the demo stage writes its manifest: beside the data root."""
        return f"{self.root}.json"

    @property
    def index_inputs(self) -> list[str]:
        """The demo's manifest when the demo is drawn, otherwise nothing: real photographs are nobody's output."""
        return [self.demo_manifest] if self.config.data.demo else []

    @property
    def submission_splits(self) -> tuple[str, ...]:
        """Private splits of this run, which the archive is made of."""
        return tuple(split for split in self.splits if split in PRIVATE_SPLITS)

    @cached_property
    def gpus(self) -> int:
        """Number of GPUs that jobs may use."""
        return len(visible_gpus())

    def settings(self, section: str) -> Params:
        """Return a params function that gives the resolved block of one section."""

        def block(wildcards: Any) -> dict[str, Any]:
            resolved = self._resolved(getattr(wildcards, "category", None), getattr(wildcards, "split", None))
            return _plain(getattr(resolved, section))

        return block

    def grid_settings(self, wildcards: Any) -> dict[str, Any]:
        """Return the resolved block of a job's grid."""
        return _plain(self._resolved(wildcards.category).grids[wildcards.grid])

    def member_grids(self, wildcards: Any) -> list[dict[str, Any]]:
        """Return the resolved grid blocks of all fused members of a job's category, each grid once."""
        resolved = self._resolved(wildcards.category)
        names = [getattr(resolved.detector_blocks[member], "grid") for member in resolved.fuse.members]  # noqa: B009
        return [_plain(resolved.grids[name]) for name in dict.fromkeys(names)]

    def detector_settings(self, wildcards: Any) -> dict[str, Any]:
        """Return the resolved block of a job's detector, with the path of its teacher where one is distilled for it."""
        block = self._detector(wildcards.category, wildcards.detector)
        wanted = wanted_teacher(block)
        return _plain(with_teacher(block, self._teacher_key(wanted)) if wanted else block)

    def teacher(self, wildcards: Any) -> list[str]:
        """Return the files of the teacher that a job's detector needs distilled; nothing for other detectors."""
        wanted = wanted_teacher(self._detector(wildcards.category, wildcards.detector))
        if wanted is None:
            return []
        return [teacher_path(self._teacher_key(wanted), suffix) for suffix in (".json", ".safetensors")]

    def teacher_settings(self, wildcards: Any) -> dict[str, Any]:
        """Return the settings of a teacher."""
        return _plain(self._teachers[wildcards.teacher])

    def detector_class(self, wildcards: Any) -> str:
        """Return ``module:Class`` of a job's detector."""
        return DETECTORS[wildcards.detector].target

    def code(self, rule: str) -> Params:
        """Return a params function that gives the digest of the code that a rule's jobs run."""
        script = self.stages / f"{rule}.py"

        def digest(wildcards: Any) -> str:
            detector = getattr(wildcards, "detector", None) if rule in ("train", "infer") else None
            extra = (DETECTORS[detector].module,) if detector else ()
            return _cached_digest(script, extra)

        return digest

    def listing(self, wildcards: Any) -> str | None:
        """Return a digest of a category's files, or None for the demo, whose manifest is an input."""
        if self.config.data.demo:
            return None
        return listing_digest(self._folders[wildcards.category])

    def truth_listing(self, wildcards: Any) -> str | None:
        """Return a digest of a category's private truth files, None where there are none."""
        if self.config.data.demo or self.truth_root is None:
            return None
        folder = Path(self.truth_root) / wildcards.category
        return listing_digest(folder) if folder.is_dir() else None

    def tiles(self, suffix: str, split: str | None = None) -> Files:
        """Return an input function for the tiles that a job's detector reads, of a fixed split or of the job's own."""

        def files(wildcards: Any) -> list[str]:
            grid = getattr(self._detector(wildcards.category, wildcards.detector), "grid")  # noqa: B009 (not of Settings)
            return [f"{self.out}/10_tiles/{grid}/{wildcards.category}/{split or wildcards.split}{suffix}"]

        return files

    def member_maps(self, split: str | None = None) -> Files:
        """Return an input function for the maps of all fused members, of a fixed split or of the job's own."""

        def files(wildcards: Any) -> list[str]:
            members = self._resolved(wildcards.category).fuse.members
            base = f"{self.out}/40_maps"
            return [f"{base}/{member}/{wildcards.category}/{split or wildcards.split}.json" for member in members]

        return files

    def per_split(self, folder: str) -> Files:
        """Return an input function for one manifest per split of a job's category."""

        def files(wildcards: Any) -> list[str]:
            return [f"{self.out}/{folder}/{wildcards.category}/{split}.json" for split in self.splits]

        return files

    def per_category(self, pattern: str) -> list[str]:
        """Return a pattern filled in for every category."""
        return [f"{self.out}/{pattern.format(category=category)}" for category in self.categories]

    def per_category_and_split(self, folder: str, splits: Sequence[str] | None = None) -> list[str]:
        """Return the manifests of one stage for every category and split."""
        chosen = self.splits if splits is None else splits
        return [f"{self.out}/{folder}/{category}/{split}.json" for category in self.categories for split in chosen]

    def fits(self) -> list[str]:
        """Return the model manifests of every category's members."""
        return [
            f"{self.out}/20_models/{member}/{category}/fit.json"
            for category in self.categories
            for member in self._resolved(category).fuse.members
        ]

    def archive(self, _wildcards: Any = None) -> list[str]:
        """Return all that the target ``submission`` asks for: archive, report and every manifest on the way.

        The manifests are named one by one so that a deleted one is made again, although nothing behind it needs it.

        Raises
        ------
        ConfigError
            If the run has no private split, so that there is nothing to submit.
        """
        if not self.submission_splits:
            raise ConfigError(
                f"data.splits {list(self.splits)} has no private split, so there is nothing to submit; "
                "use the target report_page or masks"
            )
        return [f"submissions/{self.run}.tar.gz", *self.report_files()]

    def packaged(self, folder: str) -> Files:
        """Return an input function for one stage's manifests of all that is submitted.

        The function raises ConfigError, before anything runs, if the settings break the rules that ``package.rules``
        names.
        """

        def files(_wildcards: Any) -> list[str]:
            for verdict in self._verdicts:
                if refusal := verdict.refusal():
                    raise ConfigError(refusal)
            return self.per_category_and_split(folder, self.submission_splits)

        return files

    def challenges(self, _wildcards: Any = None) -> list[dict[str, Any]]:
        """Return what the rules of every challenge say about the settings, ready for JSON."""
        return [verdict.model_dump(mode="json") for verdict in self._verdicts]

    @cached_property
    def _verdicts(self) -> tuple[ChallengeVerdict, ...]:
        places = [(category, split) for category in self.categories for split in self.submission_splits]
        return challenge_verdicts({place: self._resolved(*place) for place in places}) if places else ()

    def report_files(self, _wildcards: Any = None) -> list[str]:
        """Return the report and every manifest on the way to it."""
        stages = ("45_fused", "60_coarse", "70_refined", "80_preview")
        per_split = [path for stage in stages for path in self.per_category_and_split(stage)]
        patterns = ("00_index/{category}.json", "00_index/{category}.truth.json", "50_calibration/{category}.json")
        per_category = [path for pattern in patterns for path in self.per_category(pattern)]
        return [f"{self.out}/report/index.html", *per_category, *self._per_member(), *per_split]

    def _per_member(self) -> list[str]:
        """Manifests of the stages that run once per detector; tiles only if they are kept."""
        paths = self.fits()
        for category in self.categories:
            for member in self._resolved(category).fuse.members:
                base = [f"{member}/{category}/{split}.json" for split in self.splits]
                paths += [f"{self.out}/{stage}/{name}" for stage in ("30_tilemaps", "40_maps") for name in base]
                if self.config.keep_tiles:
                    grid = getattr(self._detector(category, member), "grid")  # noqa: B009 (not of Settings)
                    paths += [
                        f"{self.out}/10_tiles/{grid}/{category}/{split}.json" for split in ("train", *self.splits)
                    ]
        return list(dict.fromkeys(paths))

    def check_report(self) -> list[str]:
        """Return the check report of the archive, or nothing when the run has no private split."""
        return [f"submissions/{self.run}.check.json"] if self.submission_splits else []

    def resolved_config(self) -> dict[str, Any]:
        """Return the whole configuration with defaults filled in, ready for JSON."""
        blocks = {name: _plain(block) for name, block in self.config.detector_blocks.items()}
        return {**_plain(self.config), "detectors": blocks, "categories": list(self.categories)}

    def claim_run_folder(self) -> None:
        """Hold the run folder against a second Snakemake until this process ends, however it ends.

        Raises
        ------
        SeamarkError
            If another Snakemake works on the same run.
        """
        folder = Path(self.out)
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".running").open("a+")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.close()
            raise SeamarkError(
                f"{folder}: another snakemake works on this run; wait for it or choose another run name"
            ) from error
        self._lock = stream

    def require_weights(self, jobs: Iterable[Any]) -> None:
        """Check that the pretrained weights of all jobs are there, before the first of them runs.

        Parameters
        ----------
        jobs : iterable of Snakemake's jobs
            Those that are about to run.

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
            return distill_weights(self._teachers[wildcards.teacher])
        if rule in ("train", "infer"):
            return detector_weights(wildcards.detector, self._detector(wildcards.category, wildcards.detector))
        if rule == "refine":
            return refine_weights(self._resolved(wildcards.category, wildcards.split).refine)
        return ()

    @cached_property
    def _teachers(self) -> dict[str, TeacherSettings]:
        """Teachers of all categories' members by key."""
        blocks = [
            self._detector(category, member)
            for category in self.categories
            for member in self._resolved(category).fuse.members
        ]
        return {self._teacher_key(wanted): wanted for block in blocks if (wanted := wanted_teacher(block))}

    def _teacher_key(self, settings: TeacherSettings) -> str:
        return teacher_key(settings, self._photographs(settings.distill.image_folder), self.config.seed)

    @cached_property
    def _photographs(self) -> Callable[[str | None], str]:
        """Digest of the photographs that a teacher learns from, of a folder or of the data root."""
        data = self.config.data

        def digest(folder: str | None) -> str:
            if folder is not None:
                return folder_digest(Path(folder).expanduser())
            if data.demo:
                return f"{self.root} {self.config.demo.model_dump_json()} {data.train_images}"
            return files_digest(
                training_photographs(data.root, self._folders, data.layout, data.train_images, self.config.seed)
            )

        return cache(digest)

    @cached_property
    def _available(self) -> tuple[str, ...]:
        return DEMO_CATEGORIES if self.config.data.demo else tuple(self._folders)

    @cached_property
    def _folders(self) -> dict[str, Path]:
        return category_folders(self.config.data.root, self.config.data.layout)

    def _categories(self) -> tuple[str, ...]:
        if self.config.data.categories == "all":
            return self._available
        missing = [name for name in self.config.data.categories if name not in self._available]
        if missing:
            raise ConfigError(
                f"data.categories: {', '.join(missing)} not in {self.root}; found: {', '.join(self._available)}"
            )
        return self.config.data.categories

    def _check_splits(self) -> None:
        """Refuse splits without images before anything runs."""
        for category in self.categories:
            found = {
                image.split for image in find_images(Path(self.root), self._folders[category], self.config.data.layout)
            }
            missing = [split for split in self.splits if split not in found]
            if missing:
                raise ConfigError(
                    f"category {category}: no image for {', '.join(missing)}; add them or shorten data.splits"
                )

    def _detector(self, category: str, detector: str) -> Settings:
        return self._resolved(category).detector_blocks[detector]

    def _resolved(self, category: str | None, split: str | None = None) -> Config:
        return self.config if category is None else self._resolve_once(category, split)

    @cached_property
    def _resolve_once(self) -> Callable[[str, str | None], Config]:
        return cache(lambda category, split: resolve(self.raw, category, split))


@cache
def _cached_digest(script: Path, extra: tuple[str, ...]) -> str:
    return code_digest(script, extra)


def _plain(block: Settings) -> dict[str, Any]:
    return block.model_dump(mode="json")
