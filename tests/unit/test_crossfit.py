"""Folds of training photographs: who leaves out what, who scores what, and the pooled statistics of normal images."""

import numpy as np
import pytest
from tests.calibrations import write_calibration

from seamark.errors import DataError, ManifestError
from seamark.learning.batches import TileReader
from seamark.learning.crossfit import LeftOut, blocks, left_out, scored_tiles
from seamark.manifests.calibration import SplitStatistics
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import ThresholdRecord
from seamark.manifests.model import ModelManifest
from seamark.manifests.tiles import TiledImage, TilesManifest
from seamark.maps.calibration import Calibrations, image_statistics, pooled_moments
from seamark.maps.float16_scores import quantile, score_histogram
from seamark.maps.normal_statistics import Photograph, normal_photographs, normal_statistics
from seamark.masks.thresholds import ImageContext, find_thresholds
from seamark.settings.binarize import BinarizeSettings
from seamark.settings.crossfit import CrossfitSettings
from seamark.settings.grid import GridSettings

BOX = (0, 0, 8, 8)


def tiled(names, tiles=None, split="train"):
    """A tiles manifest; photographs have one tile each, or as many as ``tiles`` says."""
    images = tuple(
        TiledImage(id=name, width=8, height=8, sha256="0", boxes_xyxy=(BOX,) * count)
        for name, count in zip(names, tiles or [1] * len(names), strict=True)
    )
    total = sum(len(image.boxes_xyxy) for image in images)
    grid = GridSettings(layout="whole", input_px=32)
    return TilesManifest(
        category="nut", split=split, grid=grid, file="x.npy", shape=(total, 32, 32, 1), sha256="0", images=images
    )


def model(images):
    return ModelManifest(
        detector="bank",
        category="nut",
        file="m",
        sha256="0",
        parameters=1,
        backbone="toy",
        backbone_digest="random",
        backbone_verified=False,
        map_shape=(4, 4),
        phases=(),
        left_out=images,
    )


@pytest.mark.parametrize(("count", "folds"), [(2, 2), (3, 2), (7, 3), (10, 10), (19, 4), (412, 5)])
def test_blocks_are_consecutive_and_as_equal_as_can_be(count, folds):
    found = blocks(count, folds)
    assert [place for block in found for place in block] == list(range(count))
    assert len(found) == folds
    assert max(map(len, found)) - min(map(len, found)) <= 1


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_every_photograph_is_left_out_once_and_its_variants_with_it(folds):
    photographs, versions = [f"{number:03d}_regular" for number in range(7)], ("", "~1", "~2")
    tiles = tiled([name + version for name in photographs for version in versions], [2, 2, 2, 5, 5, 5, *[1] * 15])
    found = [left_out(tiles, fold, CrossfitSettings(folds=folds)) for fold in range(1, folds + 1)]
    assert [name for one in found for name in one.images] == [image.id for image in tiles.images]
    assert [row for one in found for row in one.tiles] == list(range(36))
    for one in found:
        assert {name.partition("~")[0] + version for name in one.images for version in versions} == set(one.images)
    plain = tiled(photographs)
    for fold, one in enumerate(found, 1):
        alone = left_out(plain, fold, CrossfitSettings(folds=folds))
        assert alone.images == tuple(name for name in one.images if "~" not in name)


def test_variants_without_their_photograph_are_left_out_together():
    tiles = tiled(["a~1", "a~2", "b~1", "b~2"])
    assert left_out(tiles, 2, CrossfitSettings(folds=2)) == LeftOut(("b~1", "b~2"), range(2, 4))


def test_a_tilde_in_the_name_of_a_photograph_is_no_variant_of_another():
    tiles = tiled(["a~7", "b", "b~x", "c~1"])
    assert [left_out(tiles, fold, CrossfitSettings(folds=4)).images for fold in (1, 2, 3, 4)] == [
        ("a~7",), ("b",), ("b~x",), ("c~1",)
    ]  # fmt: skip


def test_fewer_photographs_than_folds_are_refused():
    with pytest.raises(DataError, match=r"nut: crossfit\.folds 3 needs at least 3 training photographs, there are 2"):
        left_out(tiled(["a", "a~1", "b", "b~1"]), 1, CrossfitSettings(folds=3))


def test_the_model_of_a_fold_scores_what_it_left_out():
    tiles = tiled(["a", "b", "c"], [2, 3, 1], split="train_crossfit")
    assert scored_tiles([model(())], tiles) == [None]
    assert scored_tiles([model(("a", "a~1")), model(("b", "b~1", "c", "c~1"))], tiles) == [range(2), range(2, 6)]


@pytest.mark.parametrize("folds", [[("a",), ("b",)], [("a", "b"), ("b", "c")], [("b", "c"), ("a",)]])
def test_models_that_do_not_share_the_photographs_in_order_are_refused(folds):
    with pytest.raises(ManifestError, match="the models of 2 folds left out are not the 3 of train_crossfit"):
        scored_tiles([model(images) for images in folds], tiled(["a", "b", "c"], split="train_crossfit"))


def test_a_reader_never_gives_what_is_left_out():
    tiles = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    for left, seen in ((range(2, 4), [0, 1, 4, 5]), (range(2), [2, 3, 4, 5]), (range(5, 6), [0, 1, 2, 3, 4])):
        reader = TileReader(tiles, lambda pixels: pixels, "cpu", 1, left)
        assert [int(reader.pixels(tile)[0, 0, 0]) for tile in range(len(reader))] == seen
    with pytest.raises(DataError, match="T > 6"):
        TileReader(tiles, lambda pixels: pixels, "cpu", 1, range(6))


def test_without_folds_no_manifest_mentions_them():
    assert "left_out" not in model(()).model_dump_json()
    assert model(("a",)).model_dump()["left_out"] == ("a",)
    record = ThresholdRecord(rule="evt", value=1.0, sees_test_images=False)
    assert "crossfit" not in record.model_dump_json()
    assert LeftOut().tiles == range(0)


def statistics(split, maps):
    """Statistics and histogram of a split as calibrate takes them; ids are those of the same photographs."""
    end = "~1" if split == "validation_variants" else ""
    images = tuple(
        image_statistics(f"{number:03d}{end}", scores, score_histogram(scores)) for number, scores in enumerate(maps)
    )
    histogram = sum(score_histogram(scores) for scores in maps)
    mean, std = pooled_moments(images)
    found = SplitStatistics(
        split=split,
        pixels=sum(image.pixels for image in images),
        minimum=min(image.minimum for image in images),
        maximum=max(image.maximum for image in images),
        mean=mean,
        std=std,
        quantiles={"0.99": quantile(histogram, 0.99)},
        images=images,
    )
    return found, histogram


@pytest.mark.parametrize(
    ("pooled", "other", "shows"),
    [
        ("validation_and_crossfit", "train_crossfit", "train"),
        ("validation_and_variants", "validation_variants", "validation"),
    ],
)
def test_pooled_normal_images_are_those_of_both_splits_exactly(tmp_path, pooled, other, shows):
    random = np.random.default_rng(3)
    maps = {
        split: [random.gamma(2, scale, shape).astype(np.float32) for shape in ((30, 40), (21, 17))]
        for split, scale in (("validation", 1.0), (other, 1.7))
    }
    found = [statistics(split, of_split) for split, of_split in maps.items()]
    calibrations = Calibrations([write_calibration(tmp_path, "nut", *of_split) for of_split in found])
    test = MapsManifest(detector="bank", category="nut", split="test_public", maps=())
    quantiles = {"enabled": True, "q": 0.99}

    def normal(name):
        settings = BinarizeSettings.model_validate({"normal": name, "quantile": quantiles})
        return settings, normal_statistics(test, settings, calibrations)

    assert normal(other)[1] == found[1][0]
    settings, pool = normal(pooled)
    direct, _ = statistics(other, [scores for of_split in maps.values() for scores in of_split])
    images = [image for split, _ in found for image in split.images]
    assert pool == direct.model_copy(update={"images": tuple(images)})
    pixels = np.concatenate([scores.ravel() for of_split in maps.values() for scores in of_split]).astype(np.float64)
    assert (pool.mean, pool.std) == pytest.approx((pixels.mean(), pixels.std()), rel=1e-12)
    photographs = normal_photographs(test, settings, calibrations)
    peaks = {}
    for split, of_split in zip(("validation", shows), maps.values(), strict=True):
        for number, scores in enumerate(of_split):
            photograph = Photograph(split, f"{number:03d}")
            peaks[photograph] = max(scores.max(), peaks.get(photograph, 0.0))
    assert photographs == peaks
    context = ImageContext(pool, found[0][0], images[0], 0.0, photographs)
    thresholds = find_thresholds(maps["validation"][0], context, settings)
    assert {record.normal for record in thresholds} == {pooled}
    assert thresholds[0].value == pool.mean + 3.0 * pool.std
