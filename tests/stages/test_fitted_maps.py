"""evaluate and package with maps that are fitted to the validation scores before they are ranked."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.calibrations import write_calibration
from tests.stages.private_run import Run
from tests.stages.test_evaluate import evaluate

from seamark.errors import DataError, SubmissionError
from seamark.evaluation.metrics import ScoreCounts
from seamark.files.images import array_digest, read_mask, write_map
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.calibration import SplitStatistics
from seamark.manifests.evaluation import EvaluationManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.ranking import QuantileFit
from seamark.manifests.submission import SubmissionProvenance
from seamark.maps.float16_scores import score_histogram
from seamark.maps.quantile_fit import ranked_map

FITTED = {"fit": "quantiles", "low": 0.1, "high": 0.9}
FITS = {
    "felt": QuantileFit(low=0.1, high=0.9, low_score=-0.5, high_score=0.75),
    "wool": QuantileFit(low=0.1, high=0.9, low_score=2.0, high_score=5.0),
}


@pytest.fixture
def calibrated(tmp_path):
    toy = Run(tmp_path)
    for category, fit in FITS.items():
        normal = SplitStatistics(
            split="validation",
            quantiles={},
            images=(),
            **{"pixels": 2, "minimum": -9.0, "maximum": 9.0, "mean": 0.0, "std": 1.0},
        )
        counts, folder = score_histogram(np.float32([fit.low_score, fit.high_score])), tmp_path / "out/50_calibration"
        toy.inputs["calibration"].append(write_calibration(folder, category, normal, counts, "d"))
    return toy


def submitted(toy):
    """Every file of the submission folder as bytes, maps and masks apart."""
    files = {path.relative_to(toy.target("")): path for path in toy.target("").rglob("*") if path.is_file()}
    kinds = [".tiff", ".png"]
    return [{name: path.read_bytes() for name, path in files.items() if path.suffix == kind} for kind in kinds]


def test_a_submission_of_fitted_maps_differs_in_its_maps_alone(calibrated):
    calibrated.package()
    maps, masks = submitted(calibrated)
    calibrated.package(ranking=FITTED)
    fitted_maps, fitted_masks = submitted(calibrated)
    assert fitted_masks == masks
    assert len(masks) == 12
    assert set(fitted_maps) == set(maps)
    for name in maps:
        category, split, file = name.parts[-3:]
        fused = tifffile.imread(calibrated.folder / "out/45_fused" / category / split / file)
        found = tifffile.imread(calibrated.target("") / name)
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found, ranked_map(fused, FITS[category]).astype(np.float16))
        assert fitted_maps[name] != maps[name]


def test_the_provenance_names_what_maps_were_fitted_to(calibrated):
    calibrated.package(ranking=FITTED)
    provenance = read_manifest(calibrated.target(".provenance.json"), SubmissionProvenance)
    assert provenance.ranking == FITS
    assert {Path(path).parts[-3] for path in provenance.manifests} >= {"50_calibration"}
    extremes = provenance.precision[0]
    assert extremes.minimum != min(
        tifffile.imread(path).min() for path in (calibrated.folder / "out/45_fused/felt/test_private").glob("*.tiff")
    )


def test_without_a_fit_nothing_is_said_of_it(calibrated):
    calibrated.package()
    assert "ranking" not in json.loads(calibrated.target(".provenance.json").read_text())
    assert "ranking" not in json.loads(evaluate(calibrated, 1).read_text())


def test_what_is_scored_is_what_is_submitted(calibrated):
    calibrated.package(ranking=FITTED)
    manifest = read_manifest(evaluate(calibrated, 1, FITTED), EvaluationManifest)
    assert manifest.ranking == FITS["felt"]
    maps, truths = [], []
    for path in sorted((calibrated.target("") / "anomaly_images/felt/test_private").iterdir()):
        truth = calibrated.folder / "truth/felt/test_private" / f"{path.stem}_mask.png"
        maps.append(tifffile.imread(path).astype(np.float32))
        truths.append(read_mask(truth, 10_000))
    counts = ScoreCounts.pooled(ScoreCounts.of(*pair) for pair in zip(maps, truths, strict=True))
    whole = manifest.subsets[0]
    assert (whole.auc_pro, whole.pixel_auroc, whole.pixel_ap, whole.image_auroc, whole.iap) == (
        counts.auc_pro(0.05), counts.pixel_auroc(), counts.pixel_ap(), counts.image_auroc(), counts.iap(),
    )  # fmt: skip
    assert (whole.oracle_seg_f1, whole.oracle_threshold) == (counts.oracle_seg_f1(), counts.oracle_threshold())
    assert [image.peak for image in manifest.images[:3]] == [one.max() for one in maps]


def test_a_fit_changes_no_score_of_masks_and_no_seam(calibrated):
    plain, fitted = (read_manifest(evaluate(calibrated, 1, how), EvaluationManifest) for how in (None, FITTED))
    for before, after in zip(plain.subsets, fitted.subsets, strict=True):
        assert after.pixel_auroc != before.pixel_auroc
        assert (after.coarse, after.refined, after.defects) == (before.coarse, before.refined, before.defects)
        assert after.seams == before.seams


def test_a_map_that_cannot_be_fitted_is_named(calibrated):
    path = calibrated.inputs["maps"][0]
    manifest = read_manifest(path, MapsManifest)
    strange = np.zeros((31, 45), np.float32)
    strange[0] = 1e-30
    strange[1:8], strange[0, 0] = 1e-30, 1.0
    write_map(path.parent / manifest.maps[0].file, strange)
    first = manifest.maps[0].model_copy(update={"sha256": array_digest(strange)})
    write_manifest(path, manifest.model_copy(update={"maps": (first, *manifest.maps[1:])}))
    for attempt in (lambda: calibrated.package(ranking=FITTED), lambda: evaluate(calibrated, 1, FITTED)):
        with pytest.raises(
            (SubmissionError, DataError), match=r"000_regular\.tiff: its quantiles .*ranking\.fit: none"
        ):
            attempt()
