"""Every job of the target ``submission`` with what it needs, as far as a forecast cares. Free of NumPy and torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

from seamark.planning.flow import StageJob, manifest_in
from seamark.settings.crossfit import CROSSFIT_TRAIN
from seamark.settings.light_variants import VALIDATION_VARIANTS
from seamark.teachers.naming import teacher_path

NEEDS = {
    "index": ("demo",),
    "truth": ("index",),
    "crop": ("index",),
    "distill": ("demo",),
    "train": ("distill", "crop"),
    "train_fold": ("distill", "crop"),
    "infer": ("train", "train_fold", "crop"),
    "merge": ("infer",),
    "fuse": ("merge",),
    "calibrate": ("fuse",),
    "binarize": ("fuse", "calibrate"),
    "refine": ("binarize",),
    "preview": ("refine", "truth"),
    "evaluate": ("refine", "truth"),
    "package": ("refine",),
    "report": ("package", "evaluate", "preview"),
}
"""Stages whose jobs a job waits for: those of its category, split and detector, as far as both have them."""
TRAININGS = ("train", "train_fold")


@dataclass(frozen=True)
class RunJob:
    """A job of a run."""

    rule: str
    category: str = ""
    split: str = ""
    detector: str = ""
    grid: str = ""
    teacher: str = ""
    fold: str = ""
    outputs: tuple[str, ...] = field(default=(), compare=False)
    """Its manifest first."""

    @property
    def wildcards(self) -> SimpleNamespace:
        """Its wildcards as Snakemake would give them."""
        names = ("category", "split", "detector", "grid", "teacher", "fold")
        return SimpleNamespace(**{name: value for name in names if (value := getattr(self, name))})

    @property
    def name(self) -> str:
        """Rule and wildcards in one line, unique within a run."""
        return " ".join((self.rule, self.category, self.split, self.detector, self.grid, self.teacher, self.fold))

    def waits_for(self, other: "RunJob") -> bool:
        """Return whether another job must be done before this one can start."""
        if other.rule not in NEEDS.get(self.rule, ()):
            return False
        if self.rule in TRAININGS and other.rule == "crop" and other.split not in ("train", "validation"):
            return False
        if other.rule in TRAININGS and (other.rule == "train_fold") != (self.split == CROSSFIT_TRAIN):
            return False
        alike = (
            (self.category, other.category),
            (self.split, other.split),
            (self.detector, other.detector),
        )
        return all(not mine or not theirs or mine == theirs for mine, theirs in alike)


@dataclass(frozen=True)
class RunOutline:
    """What the jobs of a run follow from."""

    run: str
    demo_manifest: str
    """Empty unless the demo is drawn."""
    members: dict[str, tuple[tuple[str, str], ...]]
    """Detectors of each category, each with its grid."""
    teachers: tuple[str, ...]
    splits: Sequence[str]
    with_variants: tuple[str, ...]
    """Categories with variants of validation photographs, which get maps and no masks."""
    packaged: bool
    """Whether there is an archive."""
    folds: Mapping[str, int] = field(default_factory=dict)
    """Folds of each category whose training photographs get maps and no masks."""

    def jobs(self) -> list[RunJob]:
        """Return all jobs, each once, in the order of the flow."""
        found = [RunJob("demo", outputs=(self.demo_manifest,))] if self.demo_manifest else []
        found += [
            RunJob("distill", teacher=key, outputs=tuple(teacher_path(key, end) for end in (".json", ".safetensors")))
            for key in self.teachers
        ]
        for category, members in self.members.items():
            found += self._of_category(category, members)
        if self.packaged:
            found.append(RunJob("package", outputs=(f"submissions/{self.run}.tar.gz",)))
        found.append(RunJob("report", outputs=(f"out/{self.run}/report/index.html",)))
        return list(dict.fromkeys(found))

    def _of_category(self, category: str, members: Sequence[tuple[str, str]]) -> Iterator[RunJob]:
        out = f"out/{self.run}"
        folds = range(1, self.folds.get(category, 0) + 1)
        with_variants, crossfit = (
            (VALIDATION_VARIANTS,) * (category in self.with_variants),
            (CROSSFIT_TRAIN,) * bool(folds),
        )
        mapped = (*self.splits, *with_variants, *crossfit)
        yield RunJob("index", category, outputs=(f"{out}/00_index/{category}.json",))
        yield RunJob("truth", category, outputs=(f"{out}/00_index/{category}.truth.json",))
        for detector, grid in members:
            for split in ("train", *mapped):
                manifest = self._manifest("crop", category, split, grid=grid)
                yield RunJob(
                    "crop", category, split, grid=grid, outputs=(manifest, manifest.removesuffix("json") + "npy")
                )
            for fold in (None, *folds):
                job = StageJob("train_fold" if fold else "train", category, detector=detector, fold=fold)
                manifest = manifest_in(self.run, job)
                outputs = (manifest, manifest.removesuffix("fit.json") + "model.safetensors")
                yield RunJob(job.stage, category, detector=detector, fold=str(fold or ""), outputs=outputs)
            for rule in ("infer", "merge"):
                for split in mapped:
                    manifest = self._manifest(rule, category, split, detector)
                    yield RunJob(rule, category, split, detector, outputs=(manifest,))
        for rule in ("fuse", "binarize", "refine", "preview"):
            for split in mapped if rule == "fuse" else self.splits:
                yield RunJob(rule, category, split, outputs=(self._manifest(rule, category, split),))
        for rule in ("calibrate", "evaluate"):
            yield RunJob(rule, category, outputs=(self._manifest(rule, category),))

    def _manifest(
        self, rule: str, category: str, split: str | None = None, detector: str | None = None, grid: str | None = None
    ) -> str:
        return manifest_in(self.run, StageJob(rule, category, split, detector, grid))
