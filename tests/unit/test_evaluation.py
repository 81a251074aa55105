"""Evaluation of a category from files on disk."""

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from tests.indexes import indexes
from tests.indexes import truths as truths_by_split
from tests.verdicts import verdict, verdicts

from seamark.errors import DataError, ManifestError
from seamark.evaluation.category_scores import evaluation
from seamark.evaluation.image_counts import ImageCounts, evaluate_image, native_map
from seamark.evaluation.images import images_to_evaluate
from seamark.evaluation.metrics import MaskCounts, ScoreCounts
from seamark.evaluation.summary import INTERVALS, summary_rows
from seamark.evaluation.verdicts import verdict_scores
from seamark.files.images import array_digest, write_map, write_mask
from seamark.manifests.index import ImageRecord, TruthRecord
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.manifests.masks import MaskRecord, MasksManifest
from seamark.settings.evaluate import EvaluateSettings
from seamark.settings.grid import GridSettings

HEIGHT, WIDTH = 24, 36
GRIDS = (GridSettings(layout="even", window_px=16, overlap=0.25, input_px=8),)
SETTINGS = EvaluateSettings(resamples=40)
IMAGES = {
    "test_public": [("bad/000_regular", "regular"), ("bad/001_shift_1", "shift_1"), ("good/000_regular", "regular")],
    "test_private": [("000_regular", "regular"), ("001_regular", "regular")],
}
ANSWERS = {
    "bad/000_regular": "bad",
    "bad/001_shift_1": "look",
    "good/000_regular": "look",
    "000_regular": "bad",
    "001_regular": "good",
}


class World:
    """A category on disk: one public and one private split, random maps and masks, truths of one block each."""

    def __init__(self, root, scale=1.0, category="felt"):
        self.root, self.category = root, category
        self.records, self.truths = [], []
        self.maps, self.coarse, self.refined, self.verdicts = {}, {}, {}, {}
        self.arrays = {}
        rng = np.random.default_rng(7)
        for split, images in IMAGES.items():
            self._add_split(rng, split, images, scale)

    def _add_split(self, rng, split, images, scale):
        entries = {"maps": [], "coarse": [], "refined": []}
        for name, light in images:
            bad = not name.startswith("good")
            truth = np.zeros((HEIGHT, WIDTH), bool)
            if bad:
                top = int(rng.integers(0, 10))
                truth[top : top + 6, 5:15] = True
            shape = round(HEIGHT * scale), round(WIDTH * scale)
            anomaly_map = rng.normal(size=shape).astype(np.float32)
            anomaly_map += cv2.resize(truth.astype(np.float32), shape[::-1])
            coarse, refined = rng.random(truth.shape) < 0.2, truth ^ (rng.random(truth.shape) < 0.05)
            self.arrays[split, name] = anomaly_map, coarse, refined, truth
            self._add_truth(split, name, truth, bad)
            self.records.append(self._image(split, name, light, bad))
            entries["maps"].append(self._write(f"maps/{split}", name, anomaly_map))
            entries["coarse"].append(self._write(f"coarse/{split}", name, coarse))
            entries["refined"].append(self._write(f"refined/{split}", name, refined))
        said = [verdict(name, 1.0, answer=ANSWERS[name]) for name, _ in images]
        self.verdicts[self.root / f"{split}.verdicts.json"] = verdicts(self.category, split, said)
        path = self.root / "maps" / f"{split}.json"
        self.maps[path] = MapsManifest(detector="d", category=self.category, split=split, maps=tuple(entries["maps"]))
        for stage in ("coarse", "refined"):
            getattr(self, stage)[self.root / stage / f"{split}.json"] = MasksManifest(
                category=self.category, split=split, stage=stage, method="m", masks=tuple(entries[stage])
            )

    def _image(self, split, name, light, bad):
        label = None if split == "test_private" else ("bad" if bad else "good")
        return ImageRecord(
            id=name,
            file=f"{split}/{name}.png",
            split=split,
            label=label,
            light=light,
            width=WIDTH,
            height=HEIGHT,
            channels=1,
            sha256="0",
            mask=None,
        )

    def _add_truth(self, split, name, truth, bad):
        mask = f"truth/{split}/{name}_mask.png" if bad else None
        if mask:
            (self.root / mask).parent.mkdir(parents=True, exist_ok=True)
            write_mask(self.root / mask, truth)
        root = "truth" if split == "test_private" else "data"
        facts = {"mask": mask, "root": root, "sha256": None, "bad": bool(truth.any()), "defect_px": int(truth.sum())}
        self.truths.append(TruthRecord(split=split, id=name, **facts))

    def _write(self, folder, name, array):
        suffix = "png" if array.dtype == bool else "tiff"
        target = self.root / folder / f"{name}.{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        file = f"{folder.split('/')[1]}/{name}.{suffix}"
        if suffix == "png":
            write_mask(target, array)
            return MaskRecord(
                id=name, file=file, width=WIDTH, height=HEIGHT, sha256="0", foreground_px=0, components=0, thresholds=()
            )
        write_map(target, array)
        return MapRecord(
            id=name,
            file=file,
            image_width=WIDTH,
            image_height=HEIGHT,
            map_width=array.shape[1],
            map_height=array.shape[0],
            sha256=array_digest(array),
            minimum=0,
            maximum=0,
            mean=0,
        )

    def images(self, truths=None, truth_root="same"):
        lists = indexes(self.category, self.records)
        known = truths_by_split(self.category, self.truths if truths is None else truths, lists)
        listed = lists.values(), known.values(), self.maps, self.coarse, self.refined
        truth_root = self.root if truth_root == "same" else truth_root
        return images_to_evaluate(*listed, verdicts=self.verdicts, data_root=self.root, truth_root=truth_root)

    def evaluation(self, **changes):
        images = self.images(**changes)
        outcomes = [evaluate_image(image, GRIDS) for image in images]
        return evaluation(self.category, "d", SETTINGS, images, outcomes, seed=3)[0]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_scores_are_those_of_the_pooled_arrays(world):
    result = world.evaluation()
    assert [(s.split, s.light, s.images, s.bad_images) for s in result.subsets] == [
        ("test_public", "all", 3, 2),
        ("test_public", "regular", 2, 1),
        ("test_public", "shift_1", 1, 1),
        ("test_private", "all", 2, 2),
        ("test_private", "regular", 2, 2),
    ]
    arrays = [world.arrays["test_public", name] for name, _ in IMAGES["test_public"]]
    scores = ScoreCounts.pooled(ScoreCounts.of(anomaly_map, truth) for anomaly_map, _, _, truth in arrays)
    refined = sum((MaskCounts.of(refined, truth) for _, _, refined, truth in arrays), MaskCounts())
    coarse = sum((MaskCounts.of(coarse, truth) for _, coarse, _, truth in arrays), MaskCounts())
    whole = result.subsets[0]
    assert whole.auc_pro == scores.auc_pro(0.05)
    assert whole.pixel_auroc == scores.pixel_auroc()
    assert whole.image_auroc == scores.image_auroc()
    assert whole.class_f1_floor == pytest.approx(0.8)
    assert (whole.refined.seg_f1, whole.refined.class_f1) == (refined.seg_f1(), refined.class_f1())
    assert (whole.coarse.seg_f1, whole.coarse.class_f1) == (coarse.seg_f1(), coarse.class_f1())
    assert whole.refined.false_negative_px == refined.false_negative_px


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"bad/000_regular": {"defect_px": 0, "left_out": "empty mask"}}, [1, 2]),
        ({"good/000_regular": {"defect_px": 9, "left_out": "mask of a good image", "mask": "m.png"}}, [0, 1]),
        ({f"bad/{name}": {"mask": None, "left_out": "no mask"} for name in ("000_regular", "001_shift_1")}, [2]),
    ],
)
def test_scores_of_pixels_leave_out_what_scores_of_images_count(world, changes, left):
    truths = [record.model_copy(update=changes.get(record.id, {})) for record in world.truths]
    whole = world.evaluation(truths=truths).subsets[0]
    before = world.evaluation().subsets[0]
    assert (whole.images, whole.bad_images, whole.left_out_images) == (3, 2, 3 - len(left))
    for name in ("image_auroc", "class_f1_floor", "seams"):
        assert getattr(whole, name) == getattr(before, name)
    assert (whole.refined.class_f1, whole.coarse.class_f1) == (before.refined.class_f1, before.coarse.class_f1)
    kept = [world.arrays["test_public", IMAGES["test_public"][place][0]] for place in left]
    scores = ScoreCounts.pooled(ScoreCounts.of(anomaly_map, truth) for anomaly_map, _, _, truth in kept)
    refined = sum((MaskCounts.of(mask, truth) for _, _, mask, truth in kept), MaskCounts())
    assert (whole.auc_pro, whole.iap) == (scores.auc_pro(0.05), scores.iap())
    assert (whole.pixel_auroc, whole.pixel_ap) == (scores.pixel_auroc(), scores.pixel_ap())
    assert (whole.oracle_seg_f1, whole.oracle_threshold) == (scores.oracle_seg_f1(), scores.oracle_threshold())
    assert whole.refined.seg_f1 == (refined.seg_f1() if scores.regions else None)
    assert sum(size.defects for size in whole.defects) == scores.regions


def test_one_image_with_a_mask_gives_no_interval_to_scores_of_pixels(world):
    truths = [
        record.model_copy(update={"defect_px": 0, "left_out": "empty mask"} if record.id == "000_regular" else {})
        for record in world.truths
    ]
    assert set(world.evaluation(truths=truths).subsets[3].intervals) <= {"coarse_class_f1", "refined_class_f1"}


def test_image_scores(world):
    first, _, good = world.evaluation().images[:3]
    anomaly_map, _, refined, truth = world.arrays["test_public", "bad/000_regular"]
    counts = MaskCounts.of(refined, truth)
    assert (first.id, first.bad, first.defect_px) == ("bad/000_regular", True, 60)
    assert first.peak == np.float16(anomaly_map.max())
    assert first.refined_f1 == counts.seg_f1()
    assert first.refined_false_positive_px == counts.false_positive_px
    assert (good.bad, good.defect_px, good.refined_f1) == (False, 0, 0.0)


def test_undefined_scores_are_none(world):
    good = next(image for image in world.images() if image.id == "test_public/good/000_regular")
    write_mask(good.coarse, np.zeros((HEIGHT, WIDTH), bool))
    result, _ = evaluation("felt", "d", SETTINGS, [good], [evaluate_image(good, GRIDS)], seed=3)
    (image,), subset = result.images, result.subsets[0]
    assert image.coarse_f1 is None
    assert subset.coarse.seg_f1 is subset.coarse.class_f1 is subset.auc_pro is subset.image_auroc is None
    assert subset.class_f1_floor == 0.0


@pytest.mark.parametrize("scale", [0.25, 0.5])
def test_small_maps_are_enlarged_with_half_pixel_centres(tmp_path, scale):
    world = World(tmp_path, scale)
    image = world.images()[0]
    anomaly_map, _, _, truth = world.arrays["test_public", "bad/000_regular"]
    enlarged = cv2.resize(anomaly_map, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(evaluate_image(image, GRIDS).scores.keys, ScoreCounts.of(enlarged, truth).keys)


def test_half_pixel_enlargement_in_numbers():
    np.testing.assert_allclose(native_map(np.array([[0.0, 4.0]], np.float32), 1, 4), [[0, 1, 3, 4]])


def test_a_map_larger_than_its_image_is_refused():
    with pytest.raises(ManifestError, match="larger than its image"):
        native_map(np.zeros((4, 4), np.float32), 3, 4)


def test_a_split_without_truth_is_left_out(world):
    public = [truth for truth in world.truths if truth.split == "test_public"]
    assert {image.image.split for image in world.images(truths=public, truth_root=None)} == {"test_public"}


def test_partly_known_truth_lists_what_is_missing(world):
    truths = [truth for truth in world.truths if (truth.split, truth.id) != ("test_private", "001_regular")]
    with pytest.raises(DataError, match="known for 1 of 2 images; missing: 001_regular"):
        world.images(truths=truths)


def test_truth_root_must_be_configured(world):
    with pytest.raises(DataError, match="truth_root"):
        world.images(truth_root=None)


def test_missing_masks_are_an_error(world):
    world.refined.pop(world.root / "refined" / "test_private.json")
    with pytest.raises(ManifestError, match="no refined masks"):
        world.images()


def test_missing_verdicts_are_an_error(world):
    path = next(iter(world.verdicts))
    whole = world.verdicts[path]
    world.verdicts[path] = whole.model_copy(update={"images": whole.images[1:]})
    with pytest.raises(ManifestError, match=r"test_public\.verdicts\.json: lacks 1 of 3 images"):
        world.images()
    del world.verdicts[path]
    with pytest.raises(ManifestError, match="test_public: there are maps but no verdicts"):
        world.images()


def test_manifest_without_an_image_is_an_error(world):
    path = world.root / "coarse" / "test_public.json"
    world.coarse[path] = world.coarse[path].model_copy(update={"masks": world.coarse[path].masks[1:]})
    with pytest.raises(ManifestError, match="first bad/000_regular"):
        world.images()


def test_truth_of_another_size_names_both_files(world):
    image = world.images()[0]
    write_mask(image.truth_file, np.ones((HEIGHT, WIDTH + 1), bool))
    with pytest.raises(DataError, match=r"000_regular_mask\.png.*37 x 24.*000_regular\.png.*36 x 24"):
        evaluate_image(image, GRIDS)


def test_changed_truth_is_noticed(world):
    image = world.images()[0]
    write_mask(image.truth_file, np.ones((HEIGHT, WIDTH), bool))
    with pytest.raises(ManifestError, match="changed"):
        evaluate_image(image, GRIDS)


def test_mask_of_another_size_is_refused(world):
    image = world.images()[0]
    write_mask(image.coarse, np.ones((HEIGHT, WIDTH - 1), bool))
    with pytest.raises(ManifestError, match="000_regular"):
        evaluate_image(image, GRIDS)


def test_damaged_and_oversized_maps_are_named(world):
    image = world.images()[0]
    path = image.maps.parent / image.anomaly_map.file
    huge = np.full((HEIGHT, WIDTH), 1e6, np.float32)
    write_map(path, huge)
    with pytest.raises(ManifestError, match="000_regular"):
        evaluate_image(image, GRIDS)
    world.arrays.clear()
    record = image.anomaly_map.model_copy(update={"sha256": array_digest(huge)})
    changed = {field.name: getattr(image, field.name) for field in fields(image)} | {"anomaly_map": record}
    with pytest.raises(DataError, match=r"000_regular\.tiff.*1e\+06"):
        evaluate_image(type(image)(**changed), GRIDS)


def test_pooling_does_not_depend_on_the_order(world):
    outcomes = [evaluate_image(image, GRIDS) for image in world.images()]
    forward, backward = ImageCounts.pooled(outcomes), ImageCounts.pooled(outcomes[::-1])
    assert forward.refined == backward.refined
    assert forward.scores.auc_pro(0.05) == pytest.approx(backward.scores.auc_pro(0.05), abs=1e-12)


@pytest.mark.parametrize(
    ("judged", "bad", "look"),
    [
        # 4 bad, 5 good: called bad are 2 and 1, called bad or look 3 and 3.
        ("BbBbBlBgGbGlGlGgGg", (2, 1, 0.5, 0.2, 0.65), (3, 3, 0.75, 0.6, 0.575)),
        ("BbBl", (1, 0, 0.5, None, None), (2, 0, 1.0, None, None)),
        ("GbGl", (0, 1, None, 0.5, None), (0, 2, None, 1.0, None)),
    ],
)
def test_verdicts_are_scored_by_hand_computed_rates(judged, bad, look):
    answers = {"b": "bad", "l": "look", "g": "good"}
    pairs = [(truth == "B", answers[answer]) for truth, answer in zip(judged[::2], judged[1::2], strict=True)]
    scores = verdict_scores(pairs)
    assert tuple(scores.bad.model_dump().values()) == pytest.approx(bad, abs=1e-12)
    assert tuple(scores.look.model_dump().values()) == pytest.approx(look, abs=1e-12)


def test_summary_rows_and_means(tmp_path):
    worlds = [World(tmp_path / name, category=name) for name in ("wool", "felt")]
    first = worlds[0].evaluation(truths=[truth for truth in worlds[0].truths if truth.split == "test_public"])
    rows = summary_rows([first, worlds[1].evaluation()])
    assert [(row.category, row.split, row.light) for row in rows if row.light == "all"] == [
        ("felt", "test_public", "all"),
        ("felt", "test_private", "all"),
        ("wool", "test_public", "all"),
        ("mean", "test_public", "all"),
        ("mean", "test_private", "all"),
    ]
    counts = [(row.bad_found, row.bad_false_alarms, row.look_found, row.look_false_alarms) for row in rows[-2:]]
    assert counts == [(2, 0, 4, 2), (1, 0, 1, 0)], "counts are added up"
    assert (rows[-2].bad_tpr, rows[-2].look_fpr) == (0.5, 1.0), "and rates averaged"
    mean, parts = rows[-2], [row for row in rows[:-2] if (row.split, row.light) == ("test_public", "all")]
    assert mean.images == 6
    assert mean.refined_seg_f1 == pytest.approx(np.mean([row.refined_seg_f1 for row in parts]))
    assert rows[-1].image_auroc is None


def test_further_scores_are_those_of_the_pooled_arrays(world):
    whole = world.evaluation().subsets[0]
    arrays = [world.arrays["test_public", name] for name, _ in IMAGES["test_public"]]
    scores = ScoreCounts.pooled(ScoreCounts.of(anomaly_map, truth) for anomaly_map, _, _, truth in arrays)
    assert (whole.pixel_ap, whole.iap, whole.iap_at_recall) == (scores.pixel_ap(), scores.iap(), scores.iap_at(0.9))
    assert (whole.oracle_seg_f1, whole.oracle_threshold) == (scores.oracle_seg_f1(), scores.oracle_threshold())
    assert [(size.minimum_px, size.maximum_px, size.defects) for size in whole.defects] == [
        (1, 99, 2),
        (100, 1000, 0),
        (1001, None, 0),
    ]
    assert whole.defects[0].refined == 1.0
    assert whole.defects[0].coarse == 0.0
    assert whole.defects[1].refined is None
    assert whole.seams.ratio == pytest.approx(whole.seams.border / whole.seams.inside)


def test_defects_found_per_image(world):
    first, _, good = world.evaluation().images[:3]
    assert (first.defects, first.coarse_defects_found, first.refined_defects_found) == (1, 0, 1)
    assert (good.defects, good.refined_defects_found) == (0, 0)


def test_intervals_depend_on_the_seed_alone_and_need_two_images_of_a_kind(world):
    private = {"split": "test_private"}
    bad = [image for image in world.images() if image.truth.defect_px]
    images = [replace(image, image=image.image.model_copy(update=private)) for image in bad]
    outcomes = [evaluate_image(image, GRIDS) for image in images]

    def intervals(seed, resamples=7):
        settings = EvaluateSettings(resamples=resamples)
        return evaluation("felt", "d", settings, images, outcomes, seed=seed)[0].subsets[0].intervals

    found = intervals(1)
    assert found == intervals(1) != intervals(2)
    assert set(found) == set(INTERVALS) - {"image_auroc"}
    assert all(0.0 <= low <= high <= 1.0 for low, high in found.values())
    assert intervals(1, resamples=0) == {}
    assert world.evaluation().subsets[0].intervals == {}
