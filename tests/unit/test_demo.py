"""The demo data set: layout, determinism, exact masks, no harm to other people's images."""

import dataclasses
from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image

from seamark.demo import dataset
from seamark.demo.categories import CATEGORIES, add_defects
from seamark.demo.dataset import MARKER, draw_scene, take
from seamark.demo.lights import LIGHTS
from seamark.demo.scene import generator
from seamark.demo.shots import SceneKey, Shot, shots_of
from seamark.errors import DataError
from seamark.files.images import read_mask
from seamark.settings.demo import DEMO_CATEGORIES, DemoSettings

TINY = DemoSettings(
    train=2, validation=1, public_good=1, public_bad=2, private_good=2, private_bad=3, scale=0.12, seed=3
)
LIGHT_NAMES = ("regular", "underexposed", "overexposed", "shift_1", "shift_2", "shift_3")


def draw_demo(root, truth_root, settings):
    return dataset.draw_demo(root, truth_root, settings, lambda function, items, _: list(map(function, items)))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    root, truth = folder / "demo", folder / "demo_truth"
    return root, truth, draw_demo(root, truth, TINY)


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def component_areas(mask):
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return [int(stats[index, cv2.CC_STAT_AREA]) for index in range(1, count)]


def touches_border(mask):
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


@pytest.mark.parametrize("category", DEMO_CATEGORIES)
def test_the_tree_is_the_benchmarks(drawn, category):
    root, truth, _ = drawn
    expected = {f"train/good/{n:03d}_regular.png" for n in range(2)} | {"validation/good/000_regular.png"}
    expected |= {f"test_public/good/000_{light}.png" for light in LIGHT_NAMES}
    for number in range(2):
        expected |= {f"test_public/bad/{number:03d}_{light}.png" for light in LIGHT_NAMES}
        expected |= {f"test_public/ground_truth/bad/{number:03d}_{light}_mask.png" for light in LIGHT_NAMES}
    expected |= {f"test_private/{n:03d}_regular.png" for n in range(5)}
    expected |= {f"test_private_mixed/{n:03d}_mixed.png" for n in range(5)}
    assert files(root / category) == expected
    private = {f"{split}/{n:03d}_mask.png" for split in ("test_private", "test_private_mixed") for n in range(5)}
    assert files(truth / category) == private


def test_only_the_categories_and_the_marker_lie_in_the_roots(drawn):
    root, truth, _ = drawn
    for folder in (root, truth):
        assert sorted(path.name for path in folder.iterdir()) == sorted([MARKER, *DEMO_CATEGORIES])
    assert set(CATEGORIES) == set(DEMO_CATEGORIES)


def test_the_manifest_lists_every_file(drawn):
    root, truth, manifest = drawn
    assert [category.name for category in manifest.categories] == sorted(DEMO_CATEGORIES)
    listed = {(file.root, file.file) for category in manifest.categories for file in category.files}
    assert listed == {("data", f) for f in files(root) - {MARKER}} | {("truth", f) for f in files(truth) - {MARKER}}
    assert manifest.categories[0].images == {
        "test_private": 5, "test_private_mixed": 5, "test_public": 18, "train": 2, "validation": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("category", "mode"), [("woven", "L"), ("washers", "RGB")])
def test_modes_and_sizes(drawn, category, mode):
    root, _, manifest = drawn
    size = tuple(round(TINY.scale * side) for side in reversed(CATEGORIES[category].shape))
    record = next(record for record in manifest.categories if record.name == category)
    assert ((record.width, record.height), record.channels) == (size, len(mode))
    for path in (root / category).rglob("*.png"):
        with Image.open(path) as image:
            expected = "L" if path.name.endswith("_mask.png") else mode
            assert (image.mode, image.size) == (expected, size), path


@pytest.mark.parametrize("category", DEMO_CATEGORIES)
def test_full_size_is_between_one_and_three_megapixels(category):
    height, width = CATEGORIES[category].shape
    others = {side for name in DEMO_CATEGORIES if name != category for side in CATEGORIES[name].shape}
    assert height != width
    assert all(side % other for side in (height, width) for other in others)
    assert 1e6 <= height * width <= 3e6


@pytest.mark.parametrize("category", DEMO_CATEGORIES)
def test_private_truth_is_empty_for_good_scenes_and_the_same_in_both_splits(drawn, category):
    _, truth, _ = drawn
    areas = []
    for index in range(5):
        regular = read_mask(truth / category / "test_private" / f"{index:03d}_mask.png")
        mixed = read_mask(truth / category / "test_private_mixed" / f"{index:03d}_mask.png")
        np.testing.assert_array_equal(regular, mixed)
        areas.append(int(regular.sum()))
    assert sum(area == 0 for area in areas) == TINY.private_good
    assert min(area for area in areas if area) >= 3


@pytest.mark.parametrize("category", DEMO_CATEGORIES)
def test_a_public_scene_has_one_mask_under_all_lights_but_other_pixels(drawn, category):
    root, _, _ = drawn
    folder = root / category / "test_public"
    masks = [read_mask(folder / "ground_truth/bad" / f"001_{light}_mask.png") for light in LIGHT_NAMES]
    assert masks[0].any()
    assert all(np.array_equal(masks[0], mask) for mask in masks)
    brightness = {
        light: float(np.asarray(Image.open(folder / "bad" / f"001_{light}.png")).mean()) for light in LIGHT_NAMES
    }
    assert brightness["underexposed"] < 0.85 * brightness["regular"] < 0.75 * brightness["overexposed"]
    assert len({path.read_bytes() for path in (folder / "bad").glob("001_*.png")}) == len(LIGHT_NAMES)


def test_same_seed_same_bytes_and_other_seed_other_bytes(drawn, tmp_path):
    _, _, manifest = drawn
    assert draw_demo(tmp_path / "again", tmp_path / "truth", TINY) == manifest
    other = draw_demo(tmp_path / "other", tmp_path / "other_truth", TINY.model_copy(update={"seed": 4}))
    photographs = [
        {file.sha256 for category in drawing.categories for file in category.files if file.root == "data"}
        for drawing in (manifest, other)
    ]
    assert not photographs[0] & photographs[1]


@pytest.mark.parametrize("category", DEMO_CATEGORIES)
def test_an_image_drawn_alone_equals_the_one_in_the_set(drawn, category):
    root, _, _ = drawn
    key = SceneKey(category, "public_bad", 1)
    shot = Shot("shift_2", "test_public/bad/001_shift_2.png", None, None)
    alone = take(draw_scene(key, TINY), key, shot, TINY)
    np.testing.assert_array_equal(alone.squeeze(), np.asarray(Image.open(root / category / shot.file)))


def test_pixels_do_not_depend_on_opencvs_threads():
    key, threads = SceneKey("washers", "private_bad", 0), cv2.getNumThreads()
    shot = Shot("regular", "test_private/000_regular.png", None, None)
    try:
        pictures = []
        for count in (1, 4):
            cv2.setNumThreads(count)
            pictures.append(take(draw_scene(key, TINY), key, shot, TINY))
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(*pictures)


def test_changing_one_count_leaves_the_other_images_alone(tmp_path, drawn):
    _, _, manifest = drawn
    fewer = draw_demo(tmp_path / "data", tmp_path / "truth", TINY.model_copy(update={"train": 1, "private_good": 1}))
    before = {file.sha256 for category in manifest.categories for file in category.files}
    assert {file.sha256 for category in fewer.categories for file in category.files} <= before


def test_the_mixed_split_draws_from_all_lights():
    settings = DemoSettings(private_bad=60)
    lights = Counter(
        shot.light
        for planned in shots_of("woven", settings)
        for shot in planned.shots
        if shot.file.startswith("test_private_mixed/")
    )
    assert set(lights) == set(LIGHTS) == set(LIGHT_NAMES)


def test_private_indices_do_not_tell_good_from_bad():
    order = [
        planned.key.bad for planned in shots_of("woven", DemoSettings()) if planned.key.group.startswith("private")
    ]
    assert sorted(order) not in (order, order[::-1])


@pytest.mark.parametrize("category", DEMO_CATEGORIES)
@pytest.mark.parametrize("turn", range(10))
def test_a_mask_holds_every_changed_pixel_and_few_others(category, turn):
    recipe = CATEGORIES[category]
    shape = (recipe.shape[0] // 4, recipe.shape[1] // 4)
    clean, spoilt = (recipe.draw(generator(5, category, turn), shape, 0.25) for _ in range(2))
    add_defects(recipe, spoilt, generator(6, category, turn), turn)
    changed = (np.abs(spoilt.albedo - clean.albedo).max(axis=2) > 1e-4) | (np.abs(spoilt.height - clean.height) > 1e-3)
    assert not (changed & ~spoilt.mask).any()
    assert spoilt.mask.sum() >= 5
    assert changed.sum() >= 0.4 * spoilt.mask.sum()


@pytest.mark.parametrize("category", DEMO_CATEGORIES)
def test_default_settings_have_tiny_large_and_border_defects(category):
    settings, areas, border = DemoSettings(), [], 0
    for number in range(settings.private_bad):
        mask = draw_scene(SceneKey(category, "private_bad", number), settings).mask
        areas += component_areas(mask)
        border += touches_border(mask)
    assert 5 <= min(areas) < 30
    assert max(areas) > 2000
    assert border >= 1
    assert sum(area for area in areas if area > 281) > 0.9 * sum(areas)
    assert sum(areas) < 0.01 * settings.private_bad * np.prod(CATEGORIES[category].shape)


def test_a_folder_with_other_images_is_refused(tmp_path):
    mine = tmp_path / "data" / "woven" / "train" / "good" / "000_regular.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"precious")
    with pytest.raises(DataError, match=r"not drawn by the demo.*data\.demo: false"):
        draw_demo(tmp_path / "data", tmp_path / "truth", TINY)
    assert mine.read_bytes() == b"precious"
    with pytest.raises(DataError, match="not drawn by the demo"):
        draw_demo(tmp_path / "new", tmp_path / "data", TINY)


def test_a_strange_file_in_a_demo_folder_is_refused(tmp_path):
    photograph = tmp_path / "data" / "woven" / "train" / "good" / "DSC_0042.png"
    photograph.parent.mkdir(parents=True)
    photograph.write_bytes(b"precious")
    (tmp_path / "data" / MARKER).touch()
    with pytest.raises(DataError, match=r"DSC_0042\.png: not a file of the demo"):
        draw_demo(tmp_path / "data", tmp_path / "truth", TINY)
    assert photograph.exists()


def test_one_folder_for_data_and_truth_is_refused(tmp_path):
    with pytest.raises(DataError, match="the same folder"):
        draw_demo(tmp_path, tmp_path, TINY)


def test_a_failure_leaves_nothing_that_looks_finished(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seamark.demo.dataset.take", fail)
    with pytest.raises(OSError, match="No space"):
        draw_demo(tmp_path / "data", tmp_path / "truth", TINY)
    assert files(tmp_path) == {f"data/{MARKER}", f"truth/{MARKER}"}


def test_an_earlier_demo_is_replaced_whole(tmp_path):
    few = TINY.model_copy(update={"private_bad": 1, "public_bad": 1})
    first = draw_demo(tmp_path / "data", tmp_path / "truth", TINY)
    second = draw_demo(tmp_path / "data", tmp_path / "truth", few)
    assert len(files(tmp_path / "data")) == 1 + sum(
        file.root == "data" for category in second.categories for file in category.files
    )
    assert first != second


def test_a_light_condition_is_plausible():
    for light in LIGHTS.values():
        assert 0.7 < light.exposure < 1.4
        assert light.gradient <= 0.25
        assert all(0.9 < factor < 1.1 for factor in light.balance)
    assert dataclasses.astuple(LIGHTS["regular"])[0] == 1.0
