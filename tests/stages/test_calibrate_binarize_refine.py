"""The four stages from fused maps to final masks."""

import importlib.util
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.indexes import write_lists

from seamark.errors import DataError, ManifestError
from seamark.files.atomic import file_digest
from seamark.files.images import array_digest, read_map, read_mask, write_map
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.index import ImageRecord
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.verdict import VerdictManifest
from seamark.maps.float16_scores import score_histogram
from seamark.maps.stored import save_map
from seamark.running.job import Job

STAGES = Path(__file__).parents[2] / "stages"
SPLITS = {
    "validation": ("good/000_regular", "good/001_regular"),
    "test_public": ("bad/000_regular", "good/001_regular"),
}
SHAPE = (60, 80)


def stage(name):
    spec = importlib.util.spec_from_file_location(f"stage_{name}", STAGES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def draw(image_id, rng):
    """Return a photograph and its map at half size; ids below ``bad`` have a bright defect."""
    truth = np.zeros(SHAPE, np.float32)
    if image_id.startswith("bad"):
        cv2.circle(truth, (40, 30), 7, 1.0, -1)
    photograph = np.clip(90 + 90 * truth + rng.normal(0, 5, SHAPE), 0, 255).astype(np.uint8)
    heat = cv2.GaussianBlur(truth, (0, 0), 5) + rng.normal(0, 0.02, SHAPE)
    return photograph, cv2.resize(heat.astype(np.float32), (40, 30), interpolation=cv2.INTER_AREA)


@pytest.fixture
def tree(tmp_path):
    """Write the index, the photographs and the fused maps of one category."""
    rng = np.random.default_rng(0)
    images = []
    for split, ids in SPLITS.items():
        records = []
        for image_id in ids:
            photograph, scores = draw(image_id, rng)
            file = f"rice/{split}/{image_id}.png"
            (tmp_path / "data" / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photograph).save(tmp_path / "data" / file)
            facts = {"width": 80, "height": 60, "channels": 1, "sha256": file_digest(tmp_path / "data" / file)}
            label, light = image_id[: image_id.index("/")], "regular"
            masks = {"mask": None}
            images.append(ImageRecord(id=image_id, file=file, split=split, label=label, light=light, **facts, **masks))
            target = tmp_path / "fused" / split / f"{image_id}.tiff"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_map(target, scores)
            sizes = {"image_width": 80, "image_height": 60, "map_width": 40, "map_height": 30}
            extent = {"minimum": float(scores.min()), "maximum": float(scores.max()), "mean": float(scores.mean())}
            file, digest = f"{split}/{image_id}.tiff", array_digest(scores)
            records.append(MapRecord(id=image_id, file=file, sha256=digest, **sizes, **extent))
        maps = MapsManifest(detector="bank", category="rice", split=split, maps=tuple(records))
        write_manifest(tmp_path / "fused" / f"{split}.json", maps)
    write_lists(tmp_path / "index", "rice", images)
    return tmp_path


def calibrate(tree, threads=1, out="calibration"):
    for split in SPLITS:
        outputs = {"manifest": tree / out / f"{split}.json", "histogram": tree / out / f"{split}.npy"}
        inputs = {"maps": tree / "fused" / f"{split}.json"}
        stage("calibrate")(Job.for_test("calibrate", inputs, outputs, {"settings": {}}, threads=threads))


def binarize_job(tree, settings=None, split="test_public", threads=1, out="coarse", normal_maps=()):
    inputs = {"maps": tree / "fused" / f"{split}.json", "calibration": tree / "calibration" / f"{split}.json"}
    inputs |= {"normal": tree / "calibration" / "validation.json", "normal_maps": normal_maps}
    outputs = {"manifest": tree / out / f"{split}.json"}
    return Job.for_test("binarize", inputs, outputs, {"settings": settings or {}}, threads=threads)


def refine_job(tree, settings=None, split="test_public", threads=1, out="refined"):
    inputs = {"index": tree / "index" / "rice" / f"{split}.json", "masks": tree / "coarse" / f"{split}.json"}
    inputs["maps"] = tree / "fused" / f"{split}.json"
    params = {"settings": settings or {}, "root": str(tree / "data")}
    return Job.for_test("refine", inputs, {"manifest": tree / out / f"{split}.json"}, params, threads=threads)


def judge(tree, gate, split="test_public", threads=1, refined=(), **binarize):
    """Run the stages from coarse masks to verdicts, with changed refined masks; return both manifests."""
    settings = {"mean_std": {"k": 3.0}} | binarize
    stage("binarize")(binarize_job(tree, settings, split))
    stage("refine")(refine_job(tree, {"method": "none"}, split))
    inputs = {"maps": tree / "fused" / f"{split}.json", "masks": tree / "refined" / f"{split}.json"}
    masks = read_manifest(inputs["masks"], MasksManifest)
    write_manifest(inputs["masks"], masks.model_copy(update=dict(refined)))
    inputs |= {"calibration": tree / "calibration" / f"{split}.json", "normal": tree / "calibration/validation.json"}
    ends = {"manifest": ".json", "verdicts": ".verdicts.json"}
    outputs = {name: tree / "judged" / f"{split}{end}" for name, end in ends.items()}
    params = {"settings": {"gate": gate}, "binarize": settings}
    stage("verdict")(Job.for_test("verdict", inputs, outputs, params, threads=threads))
    masks = read_manifest(outputs["manifest"], MasksManifest)
    return masks, read_manifest(outputs["verdicts"], VerdictManifest)


@pytest.fixture
def coarse_tree(tree):
    calibrate(tree)
    stage("binarize")(binarize_job(tree))
    return tree


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


@pytest.mark.parametrize(
    ("mean_std", "gate", "outcomes"),
    [
        ({"k": 0.0, "scope": "image"}, True, ("kept", "emptied")),
        ({"k": 99.0}, True, ("marked", "kept")),
        ({"k": 0.0, "scope": "image"}, False, ("kept", "kept")),
        ({"k": 99.0}, False, ("kept", "kept")),
    ],
)
def test_the_gate_lets_masks_say_what_the_verdict_says(tree, mean_std, gate, outcomes):
    """Thresholds that find something in every image, and nothing in any."""
    path = tree / "fused" / "test_public.json"
    maps = read_manifest(path, MapsManifest)
    lower = read_map(path.with_suffix("") / "good/001_regular.tiff") / 9
    record = save_map(path.with_suffix(""), "test_public", "good/001_regular", lower, SHAPE)
    write_manifest(path, maps.model_copy(update={"maps": (maps.maps[0], record)}))
    calibrate(tree)
    masks, verdicts = judge(tree, gate, mean_std=mean_std)
    assert (masks.stage, masks.method, verdicts.gate) == ("judged", "none", gate)
    assert [image.answer for image in verdicts.images] == ["bad", "good"]
    assert tuple(image.mask for image in verdicts.images) == outcomes
    assert (verdicts.normal_images, verdicts.normal_photographs, verdicts.smallest_p) == (2, 2, 1 / 3)
    for record, image in zip(masks.masks, verdicts.images, strict=True):
        path = tree / "judged" / record.file
        mask, refined = read_mask(path), tree / "refined" / record.file
        assert (image.area_px, image.defects) == (mask.sum(), record.components)
        assert (path.read_bytes() == refined.read_bytes()) == (image.mask == "kept")
        assert not gate or mask.any() == (image.answer == "bad")
        if image.mask == "marked":
            rows, columns = np.nonzero(mask)
            assert np.hypot(columns - 40, rows - 30).max() < 12, "around the defect"
            assert (image.largest.x, image.largest.width) == (columns.min(), np.ptp(columns) + 1)


def test_a_normal_image_is_judged_by_the_others(tree):
    calibrate(tree)
    _, verdicts = judge(tree, gate=True, split="validation")
    assert [image.basis.normal_images for image in verdicts.images] == [1, 1]
    assert sorted(image.p for image in verdicts.images) == [0.5, 1.0]
    assert verdicts.normal_images == 2
    files = [tree / "judged" / name for name in ("validation.json", "validation.verdicts.json")]
    first = [path.read_bytes() for path in files]
    judge(tree, gate=True, split="validation", threads=2)
    assert [path.read_bytes() for path in files] == first


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"stage": "coarse"}, "coarse masks of rice test_public, expected refined ones of rice test_public"),
        ({"masks": ()}, "its 0 masks are not those of the 2 images"),
    ],
)
def test_a_verdict_wants_the_refined_masks_of_its_maps(coarse_tree, update, message):
    with pytest.raises(ManifestError, match=message):
        judge(coarse_tree, gate=True, refined=update)


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
