"""Parts of the report: charts, thresholds, galleries, cost, links."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.evaluation import EvaluationManifest, ImageScores
from seamark.manifests.masks import MaskRecord, MasksManifest, ThresholdRecord
from seamark.manifests.preview import PreviewManifest, StripRecord
from seamark.maps.float16_scores import score_histogram
from seamark.report.cost import read_costs
from seamark.report.drawing import Marker
from seamark.report.false_alarms import false_alarm_rows
from seamark.report.gallery import galleries
from seamark.report.page import telling_rows
from seamark.report.pages import duration, percent, relative_link
from seamark.report.run_files import CategoryFiles
from seamark.report.thresholds import share_above, threshold_markers, threshold_rows
from seamark.settings.promises import Promise
from seamark.settings.report import ReportSettings


def strip(name):
    paths = dict.fromkeys(("sha256", "map", "coarse", "refined"), "x")
    return StripRecord(id=name, file=f"s/{name}.jpg", layer_width=4, layer_height=3, layers=(), **paths)


def test_share_above_is_strict():
    histogram = score_histogram(np.array([0.0, 1.0, 1.0, 2.0], np.float32))
    assert share_above(histogram, 1.0) == 0.25
    assert share_above(histogram, -1.0) == 1.0
    assert share_above(histogram, 3.0) == 0.0


def coarse(split, values, *, sees, rule="mean_std"):
    masks = tuple(
        MaskRecord(
            id=str(number),
            file="x.png",
            width=1,
            height=1,
            sha256="0",
            foreground_px=0,
            components=0,
            thresholds=(ThresholdRecord(rule=rule, value=value, sees_test_images=sees),),
        )
        for number, value in enumerate(values)
    )
    return MasksManifest(category="cup", split=split, stage="coarse", method=rule, masks=masks)


VALIDATION = {"cup": score_histogram(np.arange(1, 101, dtype=np.float32))}


def test_equal_thresholds_of_several_splits_are_one_row():
    manifests = {
        Path("a"): coarse("validation", [90.0] * 2, sees=False),
        Path("b"): coarse("test_public", [90.0], sees=False),
    }
    (row,) = threshold_rows(manifests, VALIDATION)
    assert row.splits == ("validation", "test_public")
    assert row.scope == "validation images only"
    assert not row.sees_test_images
    assert row.validation_shares == (0.1,)
    assert row.paths == (Path("a"), Path("b"))
    assert threshold_markers([row], "cup") == (Marker("mean_std 90", 90.0),)


def test_a_threshold_from_variants_says_so():
    manifest = coarse("validation", [90.0], sees=False)
    (mask,) = manifest.masks
    threshold = mask.thresholds[0].model_copy(update={"normal": "validation_variants"})
    relit = manifest.model_copy(update={"masks": (mask.model_copy(update={"thresholds": (threshold,)}),)})
    (row,) = threshold_rows({Path("a"): relit}, VALIDATION)
    assert row.scope == "variants of validation images only"


@pytest.mark.parametrize(
    ("normal", "scope", "guaranteed"),
    [
        ("validation", "validation images only", True),
        ("validation_and_variants", "validation images and variants of them", True),
        ("train_crossfit", "training images only, each scored by a model that has not seen it", False),
        (
            "validation_and_crossfit",
            "validation images, and training images, each scored by a model that has not seen",
            False,
        ),
    ],
)
def test_a_threshold_says_its_normal_images_and_guarantees_nothing_of_cross_fitted_ones(normal, scope, guaranteed):
    manifest = coarse("validation", [90.0], sees=False, rule="conformal")
    (mask,) = manifest.masks
    threshold = mask.thresholds[0].model_copy(update={"normal": normal, "promised_image_rate": 0.2})
    crossfitted = manifest.model_copy(update={"masks": (mask.model_copy(update={"thresholds": (threshold,)}),)})
    assert threshold_rows({Path("a"): crossfitted}, VALIDATION)[0].scope.startswith(scope)
    refined = crossfitted.model_copy(update={"stage": "judged"})
    (row,) = false_alarm_rows({Path("a"): crossfitted, Path("b"): refined}, {})
    assert (row.promised, row.guaranteed) == (0.2, guaranteed)


def test_false_alarms_of_validation_are_counted_beside_the_promise():
    manifest = coarse("validation", [90.0, 90.0, 90.0], sees=False, rule="evt")
    promise = {"promised_image_rate": 0.1}
    masks = tuple(
        mask.model_copy(
            update={
                "foreground_px": pixels,
                "thresholds": (
                    mask.thresholds[0].model_copy(update=promise),
                    ThresholdRecord(rule="grow", value=80.0, sees_test_images=False),
                ),
            }
        )
        for mask, pixels in zip(manifest.masks, (0, 7, 1), strict=True)
    )
    coarse_masks = manifest.model_copy(update={"masks": masks})
    refined = coarse_masks.model_copy(update={"stage": "judged", "masks": manifest.masks})
    (row,) = false_alarm_rows({Path("a"): coarse_masks, Path("b"): refined}, {})
    assert (row.normal_images, row.coarse, row.refined, row.path) == (3, 2, 0, Path("a"))
    assert (row.promises, row.promised) == ((Promise("evt", images=0.1),), 0.1)
    both = tuple(
        mask.model_copy(
            update={
                "thresholds": (*mask.thresholds, ThresholdRecord(rule="mean_std", value=1.0, sees_test_images=False))
            }
        )
        for mask in masks
    )
    mixed = coarse_masks.model_copy(update={"masks": both})
    assert false_alarm_rows({Path("a"): mixed, Path("b"): refined}, {})[0].promised is None


def test_threshold_of_the_whole_test_split():
    (row,) = threshold_rows({Path("a"): coarse("test_public", [50.0, 50.0], sees=True)}, VALIDATION)
    assert row.sees_test_images
    assert row.scope == "all images of the split together"


def test_threshold_per_image_shows_its_ends_and_the_images_without():
    manifest = coarse("test_public", [50.0, None, 80.0], sees=True, rule="mebin")
    (row,) = threshold_rows({Path("a"): manifest}, VALIDATION)
    assert (row.low, row.high, row.without) == (50.0, 80.0, 1)
    assert row.scope == "each image for itself"
    assert row.validation_shares == (0.5, 0.2)
    assert [marker.x for marker in threshold_markers([row], "cup")] == [50.0, 80.0]


def test_rule_that_found_no_threshold_at_all():
    (row,) = threshold_rows({Path("a"): coarse("test_public", [None], sees=True)}, {})
    assert row.low is None
    assert row.validation_shares == ()
    assert threshold_markers([row], "cup") == ()


def image(image_id, f1, *, bad=True, false_positive=1, peak=1.0):
    return ImageScores(
        split="test_public",
        id=image_id,
        light="regular",
        bad=bad,
        defect_px=10 if bad else 0,
        defects=int(bad),
        coarse_defects_found=0,
        refined_defects_found=0,
        peak=peak,
        coarse_f1=f1,
        refined_f1=f1,
        refined_false_positive_px=false_positive,
        refined_false_negative_px=0,
    )


def category_files(preview, evaluation=None, calibration=None):
    return CategoryFiles(
        inventory=None,
        index={},
        calibration={preview.split: (Path("50/cup/test_private.json"), calibration)},
        evaluation=evaluation and (Path("90/cup.json"), evaluation),
        previews={preview.split: (Path("80/cup.json"), preview)},
        coarse={},
        refined={},
        verdicts={},
    )


def gallery(images, worst, best):
    strips = tuple(strip(one.id) for one in images)
    preview = PreviewManifest(
        category="cup", split="test_public", contact_sheet="s/c.jpg", colour_range=(0.0, 1.0), strips=strips
    )
    evaluation = EvaluationManifest(
        category="cup", detector="d", fpr_limit=0.05, iap_recall=0.9, resamples=0, subsets=(), images=tuple(images)
    )
    (found,) = galleries(category_files(preview, evaluation), ReportSettings(worst_images=worst, best_images=best))
    return found


def test_worst_and_best_images():
    images = [
        image("half", 0.5),
        image("good_clean", None, bad=False, false_positive=0),
        image("good_alarm", 0.0, bad=False, false_positive=500),
        image("missed", 0.0, false_positive=10),
        image("best", 0.9),
    ]
    found = gallery(images, 2, 1)
    assert [picture.id for picture in found.worst] == ["good_alarm", "missed"]
    assert [picture.id for picture in found.best] == ["best"]
    assert found.best[0].path == Path("80/s/best.jpg")
    assert "F1 0.900" in found.best[0].caption


def test_no_image_is_among_the_worst_and_the_best():
    found = gallery([image("a", 0.2), image("b", 0.4)], 5, 5)
    assert [picture.id for picture in found.worst] == ["a", "b"]
    assert found.best == ()


def provenance(folder, name, **facts):
    base = {"rule": "crop", "wildcards": {"category": "cup"}, "wall_s": 2.0, "cpu_s": 3.0, "peak_memory_mb": 100.0}
    folder.mkdir(parents=True, exist_ok=True)
    base |= {"outputs": {str(folder / f"{name}.json"): {}}, "inputs": {}}
    (folder / f"{name}.prov.json").write_text(json.dumps(base | facts))


def test_costs_are_summed_per_stage_and_category(tmp_path):
    crops = ("10/cup/a.json", "10/cup/b.json", "10/can/a.json")
    provenance(tmp_path / "10/cup", "a")
    provenance(tmp_path / "10/cup", "b", peak_memory_mb=300.0)
    provenance(tmp_path / "10/can", "a", wildcards={"category": "can"}, device="cuda:0")
    provenance(tmp_path / "00", "i", rule="index")
    index, crop = read_costs(tmp_path, [tmp_path / place for place in ("00/i.json", *crops)]).stages
    assert (index.stage, crop.stage) == ("index", "crop")
    assert (crop.wall_s, crop.cpu_s, crop.peak_memory_mb, crop.devices) == (6.0, 9.0, 300.0, "cpu, cuda:0")
    assert crop.of("cup") == (4.0, 6.0)
    assert index.of("can") is None


def test_costs_count_jobs_behind_what_is_shown_and_name_what_cannot_be_read(tmp_path):
    provenance(tmp_path, "tiles")
    provenance(tmp_path, "model", rule="train", inputs={str(tmp_path / "tiles.json"): {}, "data/cup/000.png": {}})
    provenance(tmp_path, "old_split", inputs={str(tmp_path / "model.json"): {}})
    provenance(tmp_path, "earlier_page", rule="report", wildcards={})
    (tmp_path / "cut.prov.json").write_text('{"rule": "cr')
    (tmp_path / "list.prov.json").write_text("[]")
    cost = read_costs(tmp_path, [tmp_path / "model.json"])
    assert [(stage.stage, len(stage.jobs)) for stage in cost.stages] == [("crop", 1), ("train", 1)]
    assert [path.name for path in cost.unreadable] == ["cut.prov.json", "list.prov.json"]


def test_relative_links_quote_special_characters(tmp_path):
    link = relative_link(tmp_path / "80 a/#1?<b>.jpg", tmp_path / "report")
    assert link == "../80%20a/%231%3F%3Cb%3E.jpg"


def test_durations_and_shares_are_readable():
    assert [duration(value) for value in (0.04, 59.9, 61.0, 3725.0)] == ["0.0 s", "59.9 s", "1 min 01 s", "1 h 02 min"]
    assert [percent(value) for value in (0.0, 0.00012345, 0.25)] == ["0 %", "0.012 %", "25.0 %"]


def test_gallery_without_truth_is_ordered_by_peak(calibrated):
    preview, calibration = calibrated
    files = category_files(preview, calibration=calibration)
    (found,) = galleries(files, ReportSettings(worst_images=1, best_images=1))
    assert not found.truth_known
    assert [picture.id for picture in found.worst] == ["high"]
    assert [picture.id for picture in found.best] == ["low"]


@pytest.fixture
def calibrated():
    peaks = {"low": 1.0, "middle": 2.0, "high": 3.0}
    shared = {"pixels": 1, "minimum": 0.0, "mean": 0.5, "std": 0.1}
    images = [{"id": name, "maximum": peak, "quantiles": {}, **shared} for name, peak in peaks.items()]
    statistics = {"split": "test_private", "quantiles": {}, "images": images, "maximum": 3.0, **shared}
    facts = {"category": "cup", "detector": "d", "split": "test_private", "histogram": "h.npy", "histogram_sha256": "0"}
    calibration = CalibrationManifest.model_validate(facts | {"statistics": statistics})
    strips = tuple(strip(name) for name in peaks)
    preview = PreviewManifest(
        category="cup", split="test_private", contact_sheet="c.jpg", colour_range=(0.0, 1.0), strips=strips
    )
    return preview, calibration


def test_a_light_that_is_the_only_one_of_its_split_has_no_row():
    lights = {"test_private": ("all", "regular"), "test_public": ("all", "regular", "overexposed")}
    rows = [SimpleNamespace(split=split, light=light) for split, listed in lights.items() for light in listed]
    shown = [(row.split, row.light) for row in telling_rows(rows)]
    assert shown == [("test_private", "all"), *(("test_public", light) for light in lights["test_public"])]
