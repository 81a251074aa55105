"""A small run made by hand, up to what the preview and report stages read."""

import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from tests.calibrations import write_calibration
from tests.indexes import indexes, write_lists
from tests.verdicts import answer_of, verdict, verdicts

from seamark.data.inventory import category_inventory
from seamark.evaluation.curves import threshold_curve, write_curves
from seamark.evaluation.metrics import ScoreCounts
from seamark.evaluation.verdicts import verdict_scores
from seamark.files.atomic import file_digest
from seamark.files.images import array_digest, write_map
from seamark.manifests.base import write_manifest
from seamark.manifests.calibration import ImageStatistics, SplitStatistics
from seamark.manifests.evaluation import (
    DefectRecall,
    EvaluationManifest,
    ImageScores,
    MaskScores,
    SeamScores,
    SubsetScores,
)
from seamark.manifests.index import ImageRecord, TruthRecord
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.manifests.masks import MasksManifest, ThresholdRecord
from seamark.manifests.model import ModelManifest, PhaseRecord
from seamark.manifests.plots import PlotsManifest
from seamark.manifests.submission import CheckReport, RuleResult
from seamark.maps.float16_scores import quantile, score_histogram
from seamark.masks.stored import save_mask
from seamark.running.job import Job

STAGES = Path(__file__).resolve().parents[2] / "stages"
SPLITS = ("validation", "test_public", "test_private")
PREVIEW_PARAMS = {"panel_px": 96, "contact_columns": 2, "jpeg_quality": 85}
THRESHOLD = 2.0


def stage(name):
    spec = importlib.util.spec_from_file_location(f"stage_{name}", STAGES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def draw_example(category, split, number):
    """Return photograph (grey if the category starts with g), truth mask and scores; odd test images have a defect."""
    rng = np.random.default_rng([len(category), SPLITS.index(split), number])
    shape = (60, 80, 1 if category.startswith("g") else 3)
    photograph = rng.integers(90, 130, shape, dtype=np.uint8)
    truth = np.zeros(shape[:2], dtype=bool)
    scores = rng.normal(0.0, 0.5, shape[:2]).astype(np.float32)
    if split != "validation" and number % 2:
        truth[20:25, 30:35] = True
        scores[20:25, 30:35] += 6.0
    return photograph, truth, scores


def f1(prediction, truth):
    both, total = int((prediction & truth).sum()), int(prediction.sum() + truth.sum())
    return 2.0 * both / total if total else None


@dataclass
class SmallRun:
    """Builds every manifest that preview and report read, below one folder."""

    folder: Path
    categories: tuple = ("grey", "rubber <b>seals & gaskets #1 100%")
    images: int = 4
    evaluated: tuple = ("test_public",)
    draw: object = draw_example
    digest: str = "random"
    verified: bool = False
    refined_by: str = "grabcut"
    threshold: float = THRESHOLD
    lists: dict = field(
        default_factory=lambda: {name: [] for name in ("fit", "calibration", "coarse", "refined", "verdicts")}
    )

    def __post_init__(self):
        self.out, self.data, self.truth = self.folder / "out/run", self.folder / "data", self.folder / "truth"
        for name in ("inventory", "index", "evaluation", "preview", "curves"):
            self.lists[name] = []
        for category in self.categories:
            self.build(category)
        for name in ("evaluation", "curves"):
            self.lists[name] = sorted(self.lists[name])
        self.write_provenance()

    def build(self, category):
        records, truths, rows, statistics, scored, counts = [], [], [], [], [], {}
        for split in SPLITS:
            maps, coarse, refined, said, histogram = [], [], [], [], np.zeros(65536, np.int64)
            for number in range(self.images):
                photograph, truth, scores = self.draw(category, split, number)
                bad = bool(truth.any())
                light = "regular" if number < 2 else "overexposed"
                label = "bad" if bad else "good"
                image_id = f"{number:03d}_{light}"
                if split == "test_public":
                    image_id = f"{label}/{image_id}"
                self.write_photograph(category, split, image_id, photograph, records, truths, truth, light)
                maps.append(self.save_map(category, split, image_id, scores))
                thresholds = (ThresholdRecord(rule="mean_std", value=self.threshold, sees_test_images=False),)
                found = scores > self.threshold
                fine = found & (truth | (np.arange(truth.shape[1]) < 8)[np.newaxis])
                for stage_name, mask, listed in (("60_coarse", found, coarse), ("75_verdicts", fine, refined)):
                    draft = self.out / stage_name / category / split
                    kept = thresholds if listed is coarse else ()
                    listed.append(save_mask(draft, split, image_id, mask, thresholds=kept))
                said.append(verdict(image_id, float(scores.max()), area=int(fine.sum())))
                histogram += score_histogram(scores)
                if split in self.evaluated:
                    counts.setdefault(split, []).append(ScoreCounts.of(scores, truth))
                    scored.append((split, image_id, light, truth, found, fine, float(scores.max())))
            head = {"category": category, "split": split}
            write_manifest(self.path("45_fused", category, split), MapsManifest(detector="bank", maps=maps, **head))
            for name, folder, stage_name, listed, method in (
                ("coarse", "60_coarse", "coarse", coarse, "mean_std"),
                ("refined", "75_verdicts", "judged", refined, self.refined_by),
            ):
                path = self.path(folder, category, split)
                write_manifest(path, MasksManifest(stage=stage_name, method=method, masks=listed, **head))
                self.lists[name].append(path)
            path = self.path("75_verdicts", category, f"{split}.verdicts")
            write_manifest(path, verdicts(category, split, said))
            self.lists["verdicts"].append(path)
            rows.append(histogram)
            statistics.append(self.statistics(split, maps, histogram))
        self.write_category(category, records, truths, rows, statistics, scored)
        curves = self.out / "90_eval" / f"{category}.curves.csv"
        write_curves(curves, {split: threshold_curve(ScoreCounts.pooled(parts)) for split, parts in counts.items()})
        self.lists["curves"].append(curves)

    def path(self, stage_name, category, split):
        return self.out / stage_name / category / f"{split}.json"

    def write_photograph(self, category, split, image_id, photograph, records, truths, truth, light):
        file = f"{category}/{split}/{image_id}.png"
        (self.data / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph.squeeze()).save(self.data / file)
        mask = None
        if truth.any():
            mask = f"{category}/{split}/{image_id}_mask.png"
            (self.truth / mask).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(truth.astype(np.uint8) * 255).save(self.truth / mask)
        known = split in self.evaluated
        records.append(
            ImageRecord(
                id=image_id,
                file=file,
                split=split,
                label=("bad" if truth.any() else "good") if known else None,
                light=light,
                width=photograph.shape[1],
                height=photograph.shape[0],
                channels=photograph.shape[2],
                sha256=file_digest(self.data / file),
                mask=None,
            )
        )
        if known:
            defect_px = int(truth.sum())
            facts = {"mask": mask, "root": "truth", "sha256": None, "bad": defect_px > 0, "defect_px": defect_px}
            truths.append(TruthRecord(split=split, id=image_id, **facts))

    def save_map(self, category, split, image_id, scores):
        path = self.out / "45_fused" / category / split / f"{image_id}.tiff"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_map(path, scores)
        return MapRecord(
            id=image_id,
            file=f"{split}/{image_id}.tiff",
            image_width=scores.shape[1],
            image_height=scores.shape[0],
            map_width=scores.shape[1],
            map_height=scores.shape[0],
            sha256=array_digest(scores),
            minimum=float(scores.min()),
            maximum=float(scores.max()),
            mean=float(scores.mean()),
        )

    def statistics(self, split, maps, histogram):
        shared = {"mean": 0.0, "std": 0.5}
        images = [
            ImageStatistics(id=one.id, pixels=1, minimum=one.minimum, maximum=one.maximum, quantiles={}, **shared)
            for one in maps
        ]
        return SplitStatistics(
            split=split,
            pixels=int(histogram.sum()),
            minimum=min(one.minimum for one in maps),
            maximum=max(one.maximum for one in maps),
            quantiles={"0.01": quantile(histogram, 0.01), "0.99": quantile(histogram, 0.99)},
            images=tuple(images),
            **shared,
        )

    def write_category(self, category, records, truths, rows, statistics, scored):
        self.lists["index"] += write_lists(self.out / "00_index", category, records, truths)[0]
        inventory = self.out / "00_index" / f"{category}.json"
        write_manifest(inventory, category_inventory(list(indexes(category, records).values())))
        self.lists["calibration"] += [
            write_calibration(self.out / "50_calibration", category, *split)
            for split in zip(statistics, rows, strict=True)
        ]
        fit = self.out / "20_models/bank" / category / "fit.json"
        phases = (
            PhaseRecord(name="reconstruct", steps=30, curve_steps=(10, 20, 30), losses={"total": (9.0, 1.0, 0.1)}),
            PhaseRecord(name="statistics", steps=0, curve_steps=(), losses={}),
        )
        write_manifest(
            fit,
            ModelManifest(
                detector="bank",
                category=category,
                file="model.safetensors",
                sha256="0",
                parameters=12345,
                backbone="toy",
                backbone_digest=self.digest,
                backbone_verified=self.verified,
                map_shape=(4, 4),
                phases=phases,
            ),
        )
        evaluation = self.out / "90_eval" / f"{category}.json"
        write_manifest(evaluation, self.evaluate(category, scored))
        for name, path in {
            "inventory": inventory,
            "fit": fit,
            "evaluation": evaluation,
        }.items():
            self.lists[name].append(path)

    def evaluate(self, category, scored):
        subsets, images = [], []
        for split in self.evaluated:
            of_split = [row for row in scored if row[0] == split]
            for light in ("all", *sorted({row[2] for row in of_split})):
                part = [row for row in of_split if light in {"all", row[2]}]
                bad = sum(bool(row[3].any()) for row in part)
                names = ("auc_pro", "pixel_auroc", "pixel_ap", "image_auroc", "iap", "iap_at_recall", "oracle_seg_f1")
                values = dict(zip(names, (0.81, 0.97, 0.62, 0.75, 0.58, 0.43, 0.88), strict=True)) if bad else {}
                subsets.append(
                    SubsetScores(
                        split=split,
                        light=light,
                        images=len(part),
                        bad_images=bad,
                        left_out_images=0,
                        **(dict.fromkeys(names) | values),
                        oracle_threshold=1.5 if bad else None,
                        class_f1_floor=2 * bad / (bad + len(part)) if bad else None,
                        verdict=verdict_scores([(bool(row[3].any()), answer_of(row[6])) for row in part]),
                        coarse=mask_scores(part, 4),
                        refined=mask_scores(part, 5),
                        defects=(
                            DefectRecall(minimum_px=1, maximum_px=99, defects=bad, coarse=0.7, refined=0.6),
                            DefectRecall(minimum_px=100, maximum_px=1000, defects=0, coarse=None, refined=None),
                            DefectRecall(minimum_px=1001, maximum_px=None, defects=0, coarse=None, refined=None),
                        ),
                        seams=SeamScores(border=0.0125, inside=0.01, ratio=1.25),
                        intervals={"auc_pro": (0.7654, 0.8432)} if bad else {},
                    )
                )
            for _, image_id, light, truth, found, fine, peak in of_split:
                images.append(
                    ImageScores(
                        split=split,
                        id=image_id,
                        light=light,
                        bad=bool(truth.any()),
                        defect_px=int(truth.sum()),
                        defects=int(truth.any()),
                        coarse_defects_found=int((found & truth).any()),
                        refined_defects_found=int((fine & truth).any()),
                        peak=peak,
                        coarse_f1=f1(found, truth),
                        refined_f1=f1(fine, truth),
                        refined_false_positive_px=int((fine & ~truth).sum()),
                        refined_false_negative_px=int((truth & ~fine).sum()),
                    )
                )
        return EvaluationManifest(
            category=category,
            detector="bank",
            fpr_limit=0.05,
            iap_recall=0.9,
            resamples=200,
            subsets=tuple(subsets),
            images=tuple(images),
        )

    def write_provenance(self):
        for category in self.categories:
            for rule, folder in (("index", "00_index"), ("binarize", "60_coarse")):
                facts = {"rule": rule, "wildcards": {"category": category}, "wall_s": 1.25, "cpu_s": 2.5}
                made = str(self.path(folder, category, "validation"))
                facts |= {"peak_memory_mb": 321.0, "device": "cpu", "outputs": {made: {}}, "inputs": {}}
                (self.out / folder / f"{category}.prov.json").write_text(json.dumps(facts))

    def preview(self, category, split, **params):
        manifest = self.path("80_preview", category, split)
        outputs = {"manifest": manifest, "sheet": manifest.with_suffix("") / "contact_sheet.jpg"}
        inputs = {
            "index": self.path("00_index", category, split),
            "truth": self.path("00_index", category, f"{split}.truth"),
            "maps": self.path("45_fused", category, split),
            "calibration": self.path("50_calibration", category, "validation"),
            "coarse": self.path("60_coarse", category, split),
            "refined": self.path("75_verdicts", category, split),
        }
        params = {"settings": PREVIEW_PARAMS | params, "root": str(self.data), "truth_root": str(self.truth)}
        stage("preview")(Job.for_test("preview", inputs, outputs, params))
        return manifest

    def check(self, verdict="accepted", challenges=()):
        path = self.folder / "submissions" / "run.check.json"
        refused = verdict == "refused"
        rule = RuleResult(
            rule="names",
            origin="official",
            meaning="every file has its name",
            passed=not refused,
            violations=int(refused),
            examples=("000_<i>.png: wrong name",) if refused else (),
        )
        report = CheckReport(
            submission="run",
            verdict=verdict,
            map_scale=1.0,
            rules=(rule,),
            warnings=("all masks are empty",),
            folders=(),
            total_bytes=1,
            archive_bytes=1,
            challenges=challenges,
        )
        write_manifest(path, report)
        return path

    def report(self, check=None, worst=2, best=1, plots=False):
        """Write the page, and the plots beside it where they are asked for: drawing them takes seconds."""
        page, summary = self.out / "report/index.html", self.out / "90_eval/summary.csv"
        inputs = {**self.lists, "check": [check] if check else []}
        params = {
            "settings": {"worst_images": worst, "best_images": best},
            "run": "run <1>",
            "benchmarks": str(self.out / "benchmarks"),
            "config": {"run": "run", "data": {"root": "<data>"}},
        }
        outputs = {"page": page, "summary": summary, "plots": self.out / "report/plots/plots.json"}
        outputs["verdicts"] = self.out / "verdicts.csv"
        main = stage("report")
        if not plots:
            main.__globals__["write_plots"] = lambda folder, listed: PlotsManifest(plots=(), absent=())
        main(Job.for_test("report", inputs, outputs, params))
        return page.read_text(encoding="utf-8"), summary


def mask_scores(part, column):
    truths, masks = np.stack([row[3] for row in part]), np.stack([row[column] for row in part])
    return MaskScores(
        seg_f1=f1(masks, truths),
        class_f1=f1(masks.any(axis=(1, 2)), truths.any(axis=(1, 2))),
        true_positive_px=int((masks & truths).sum()),
        false_positive_px=int((masks & ~truths).sum()),
        false_negative_px=int((truths & ~masks).sum()),
        flagged_normal_images=int((masks.any(axis=(1, 2)) & ~truths.any(axis=(1, 2))).sum()),
    )
