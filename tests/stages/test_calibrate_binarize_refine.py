"""The stages from fused maps to refined masks."""

import math

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.stages.masks_run import SHAPE, SPLITS, binarize_job, calibrate, refine_job, stage

from seamark.errors import DataError, ManifestError
from seamark.files.atomic import file_digest
from seamark.files.images import array_digest, read_mask
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.maps.float16_scores import score_histogram
from seamark.maps.stored import save_map


def test_calibrate_writes_statistics_and_histograms(tree):
    calibrate(tree)
    for split, images in SPLITS.items():
        manifest = read_manifest(tree / "calibration" / f"{split}.json", CalibrationManifest)
        histogram = np.load(tree / "calibration" / manifest.histogram)
        assert manifest.histogram_sha256 == file_digest(tree / "calibration" / f"{split}.npy")
        assert histogram.shape == (65536,)
        assert histogram.dtype == np.int64
        files = sorted((tree / "fused" / split).rglob("*.tiff"))
        pixels = np.stack([cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files])
        np.testing.assert_array_equal(histogram, score_histogram(pixels))
        assert manifest.split == manifest.statistics.split == split
        assert manifest.statistics.std == pytest.approx(pixels.astype(np.float64).std(), rel=1e-10)
        assert tuple(image.id for image in manifest.statistics.images) == images


def test_coarse_and_refined_masks_find_the_defect(coarse_tree):
    # The coarse mask is several times the defect, half of it no part of the cut, which the map alone does not bear out.
    stage("refine")(refine_job(coarse_tree, {"accept": "always"}))
    truth = np.zeros(SHAPE, np.uint8)
    cv2.circle(truth, (40, 30), 7, 1, -1)
    overlap = {}
    for kind in ("coarse", "refined"):
        manifest = read_manifest(coarse_tree / kind / "test_public.json", MasksManifest)
        assert (manifest.stage, manifest.method) == ((kind, "mean_std") if kind == "coarse" else (kind, "grabcut"))
        bad = manifest.masks[0]
        mask = read_mask(coarse_tree / kind / bad.file)
        assert mask.shape == SHAPE == (bad.height, bad.width)
        assert (bad.foreground_px, bad.sha256) == (mask.sum(), array_digest(mask))
        overlap[kind] = (mask & (truth > 0)).sum() / (mask | (truth > 0)).sum()
        assert len(bad.thresholds) == (kind == "coarse")
    assert overlap["coarse"] < 0.6
    assert overlap["refined"] > 0.75


def test_thresholds_say_what_they_have_seen(tree):
    calibrate(tree)
    settings = {"mean_std": {"scope": "validation"}, "mebin": {"enabled": True, "erode_px": 2}}
    stage("binarize")(binarize_job(tree, settings))
    manifest = read_manifest(tree / "coarse" / "test_public.json", MasksManifest)
    assert manifest.method == "mean_std+mebin"
    assert [(one.rule, one.sees_test_images) for one in manifest.masks[0].thresholds] == [
        ("mean_std", False),
        ("mebin", True),
    ]
    assert manifest.masks[1].thresholds[1].value is None  # the weakest peak of the split


@pytest.mark.parametrize("share", [0.0, 0.123456789, 0.97, 0.99999999, 1.0])
def test_any_quantile_is_taken_exactly_without_calibrating_anew(coarse_tree, share):
    stage("binarize")(
        binarize_job(coarse_tree, {"mean_std": {"enabled": False}, "quantile": {"enabled": True, "q": share}})
    )
    manifest = read_manifest(coarse_tree / "coarse" / "test_public.json", MasksManifest)
    files = (coarse_tree / "fused" / "validation").rglob("*.tiff")
    pixels = np.sort(np.concatenate([cv2.imread(str(file), cv2.IMREAD_UNCHANGED).ravel() for file in files]))
    kept = np.float16(pixels[max(1, math.ceil(share * pixels.size)) - 1])
    assert float(kept) < manifest.masks[0].thresholds[0].value < float(np.nextafter(kept, np.float16(np.inf)))


def test_thresholds_of_a_damaged_histogram_are_refused_with_the_remedy(coarse_tree):
    path = coarse_tree / "calibration" / "validation.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(ManifestError, match=r"validation\.npy: not the histogram .*; rebuild it with: .*snakemake"):
        stage("binarize")(binarize_job(coarse_tree, {"quantile": {"enabled": True}}))


def test_threads_and_repetition_do_not_change_a_byte(coarse_tree):
    stage("refine")(refine_job(coarse_tree))
    calibrate(coarse_tree, threads=3, out="calibration_3")
    stage("binarize")(binarize_job(coarse_tree, threads=3, out="coarse_3"))
    stage("refine")(refine_job(coarse_tree, threads=3, out="refined_3"))
    for kind in ("calibration", "coarse", "refined"):
        files = sorted(path for path in (coarse_tree / kind).rglob("*") if path.is_file())
        assert files
        for path in files:
            again = coarse_tree / f"{kind}_3" / path.relative_to(coarse_tree / kind)
            assert again.read_bytes() == path.read_bytes()


def test_method_none_copies_the_coarse_mask_to_a_file_of_its_own(coarse_tree):
    stage("refine")(refine_job(coarse_tree, {"method": "none"}))
    coarse, refined = (
        read_manifest(coarse_tree / kind / "test_public.json", MasksManifest) for kind in ("coarse", "refined")
    )
    assert refined.method == "none"
    assert [mask.sha256 for mask in refined.masks] == [mask.sha256 for mask in coarse.masks]
    assert all((coarse_tree / "refined" / mask.file).is_file() for mask in refined.masks)


def test_rerun_removes_masks_that_are_no_longer_made(coarse_tree):
    stale = coarse_tree / "coarse" / "test_public" / "stale.png"
    stale.write_bytes(b"")
    stage("binarize")(binarize_job(coarse_tree))
    assert not stale.exists()


def test_missing_inputs_are_named(tree):
    with pytest.raises(ManifestError, match=r"test_public\.json: cannot read the manifest"):
        stage("binarize")(binarize_job(tree))
    calibrate(tree)
    (tree / "fused" / "test_public" / "bad" / "000_regular.tiff").unlink()
    with pytest.raises(ManifestError, match=r"000_regular\.tiff: cannot read the anomaly map") as caught:
        stage("binarize")(binarize_job(tree))
    assert caught.value.__notes__ == ["while working on bad/000_regular"]
    assert not (tree / "coarse" / "test_public.json").exists()


def test_calibration_of_other_images_is_refused(coarse_tree):
    path = coarse_tree / "fused" / "test_public.json"
    maps = read_manifest(path, MapsManifest)
    write_manifest(path, maps.model_copy(update={"maps": maps.maps[:1]}))
    with pytest.raises(ManifestError, match="2 calibrated images of split test_public are not the 1 of the maps"):
        stage("binarize")(binarize_job(coarse_tree))
    write_manifest(path, maps.model_copy(update={"detector": "urd"}))
    with pytest.raises(ManifestError, match="detector bank, expected urd"):
        stage("binarize")(binarize_job(coarse_tree))


def test_refine_refuses_masks_of_something_else(coarse_tree):
    path = coarse_tree / "coarse" / "test_public.json"
    masks = read_manifest(path, MasksManifest)
    write_manifest(path, masks.model_copy(update={"category": "can"}))
    with pytest.raises(
        ManifestError, match="coarse masks of can test_public, expected coarse ones of rice test_public"
    ):
        stage("refine")(refine_job(coarse_tree))
    write_manifest(path, masks.model_copy(update={"stage": "refined"}))
    with pytest.raises(ManifestError, match="refined masks of rice test_public"):
        stage("refine")(refine_job(coarse_tree))
    write_manifest(path, masks.model_copy(update={"masks": masks.masks[1:]}))
    with pytest.raises(ManifestError, match="1 masks are not those of the 2 images"):
        stage("refine")(refine_job(coarse_tree))


@pytest.mark.parametrize(("accept", "kept"), [("evidence", 1), ("always", 0)])
def test_refine_hears_the_maps(coarse_tree, accept, kept):
    """Where the map is high at the rim of the component alone, what GrabCut finds in its middle has no support."""
    path = coarse_tree / "fused" / "test_public.json"
    maps = read_manifest(path, MapsManifest)
    coarse = read_mask(coarse_tree / "coarse" / "test_public" / "bad" / "000_regular.png")
    rim = coarse & (cv2.erode(coarse.astype(np.uint8), np.ones((7, 7), np.uint8)) == 0)
    scores = np.where(rim, 9.0, coarse).astype(np.float32)
    record = save_map(coarse_tree / "fused" / "test_public", "test_public", "bad/000_regular", scores, SHAPE)
    write_manifest(path, maps.model_copy(update={"maps": (record, *maps.maps[1:])}))
    stage("refine")(refine_job(coarse_tree, {"accept": accept}))
    refined = read_manifest(coarse_tree / "refined" / "test_public.json", MasksManifest).masks[0]
    assert refined.kept_coarse == kept
    assert (refined.foreground_px == coarse.sum()) == bool(kept)
    write_manifest(path, maps.model_copy(update={"maps": maps.maps[1:]}))
    with pytest.raises(ManifestError, match="its 1 maps are not those of the 2 images"):
        stage("refine")(refine_job(coarse_tree))


def test_refine_refuses_changed_masks_and_photographs(coarse_tree):
    photograph = coarse_tree / "data" / "rice" / "test_public" / "bad" / "000_regular.png"
    pixels = Image.open(photograph).copy()
    pixels.resize((40, 30)).save(photograph)
    with pytest.raises(DataError, match="changed since it was indexed"):
        stage("refine")(refine_job(coarse_tree))
    pixels.save(photograph)
    mask = coarse_tree / "coarse" / "test_public" / "bad" / "000_regular.png"
    Image.new("L", (80, 60), 255).save(mask)
    with pytest.raises(ManifestError, match=r"expected the mask of 80 x 60 px that test_public\.json"):
        stage("refine")(refine_job(coarse_tree))
    mask.write_bytes(mask.read_bytes()[:40])
    with pytest.raises(ManifestError, match="000_regular"):
        stage("refine")(refine_job(coarse_tree))


def test_masks_that_are_all_empty_are_told_in_terminal_log_and_manifest(tree, capsys, caplog):
    calibrate(tree)
    with caplog.at_level("INFO", logger="seamark"):
        stage("binarize")(binarize_job(tree, {"mean_std": {"k": 99.0}}))
    (warning,) = read_manifest(tree / "coarse" / "test_public.json", MasksManifest).warnings
    assert warning.photograph in SPLITS["validation"]
    assert warning.text.startswith("rice test_public: every mask is empty: threshold of mean_std ")
    assert f"warning: {warning.text}\n" in capsys.readouterr().err
    assert f"warning: {warning.text}" in caplog.messages
    stage("binarize")(binarize_job(tree, {"mean_std": {"k": 99.0}}, split="validation"))
    assert not read_manifest(tree / "coarse" / "validation.json", MasksManifest).warnings


def test_components_are_weighed_against_those_of_normal_images(tree):
    """Of two normal images, the one with the larger spot says what a component needs; low maps are not even read."""
    for split, wanted in (("validation", ((4, 0.9), (0, 0.0))), ("test_public", ((8, 0.9), (2, 0.9)))):
        path = tree / "fused" / f"{split}.json"
        maps, records = read_manifest(path, MapsManifest), []
        for record, (side, height) in zip(maps.maps, wanted, strict=True):
            scores = np.zeros((30, 40), np.float32)
            scores[4 : 4 + side, 4 : 4 + side] = height
            records.append(save_map(path.with_suffix(""), split, record.id, scores, SHAPE))
        write_manifest(path, maps.model_copy(update={"maps": tuple(records)}))
    calibrate(tree)
    (tree / "fused" / "validation" / f"{SPLITS['validation'][1]}.tiff").write_bytes(b"not read")
    settings = {"at": "map", "mean_std": {"k": 1.0}, "evidence_alpha": 1 / 3}
    normal_maps = [tree / "fused" / "validation.json"]
    stage("binarize")(binarize_job(tree, settings, normal_maps=normal_maps))
    weighed = read_manifest(tree / "coarse" / "test_public.json", MasksManifest)
    stage("binarize")(binarize_job(tree, settings | {"evidence_alpha": None}))
    plain = read_manifest(tree / "coarse" / "test_public.json", MasksManifest)
    assert [mask.components for mask in plain.masks] == [1, 1]
    assert [mask.components for mask in weighed.masks] == [1, 0]
    threshold = plain.masks[0].thresholds[0].value
    assert weighed.least_evidence == pytest.approx(8 * 8 * (0.9 - threshold), rel=0.2)
    assert plain.least_evidence is None
    stage("binarize")(binarize_job(tree, settings | {"evidence_alpha": 0.2}, normal_maps=normal_maps))
    few = read_manifest(tree / "coarse" / "test_public.json", MasksManifest)
    assert few.least_evidence == weighed.least_evidence, "of two images, both count where four were needed"
