"""crop, merge and fuse as stages: images of several sizes in, maps at their true positions out."""

import hashlib
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.indexes import write_lists

from seamark.errors import DataError, ManifestError
from seamark.files.atomic import file_digest
from seamark.files.images import read_image, read_map
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.index import ImageRecord, IndexManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.tilemaps import CellGeometry, TilemapsManifest
from seamark.manifests.tiles import TilesManifest
from seamark.maps.fusion import read_layers
from seamark.maps.stored import load_map
from seamark.running.job import Job
from seamark.tiles.cutting import cut_tiles

STAGES = Path(__file__).resolve().parents[2] / "stages"
GRID = {"layout": "padded", "window_px": 32, "overlap": 0.25, "input_px": 16}
MERGE = {"scale": 1.0, "blend": "hann", "smooth_sigma_px": 0.0}
IMAGES = {"bad/000_regular": (120, 50), "good/a.b_c": (50, 40), "good/wide": (400, 33)}


def stage(name):
    return runpy.run_path(str(STAGES / f"{name}.py"))["main"]


def build_index(root):
    """Write grey images and their index."""
    records = []
    for name, (width, height) in IMAGES.items():
        path = root / "data" / "can" / "test_public" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(width).integers(0, 256, (height, width), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        records.append(
            ImageRecord(
                id=name,
                file=f"can/test_public/{name}.png",
                split="test_public",
                label="good",
                light="regular",
                width=width,
                height=height,
                channels=1,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                mask=None,
            )
        )
    (manifest,), _ = write_lists(root / "out" / "00_index", "can", records)
    return manifest


def crop_job(root, index, split="test_public", threads=1, grid=None, light_variants=None):
    folder = root / "out" / "10_tiles" / "grid" / "can"
    return Job.for_test(
        "crop",
        inputs={"index": index},
        outputs={"manifest": folder / f"{split}.json", "tiles": folder / f"{split}.npy"},
        params={
            "settings": grid or GRID,
            "root": str(root / "data"),
            "light_variants": light_variants,
            "holdout": None,
        },
        wildcards={"grid": "grid", "category": "can", "split": split},
        threads=threads,
    )


@pytest.mark.parametrize("split", ["train", "validation_variants", "validation"])
def test_variants_of_photographs_are_tiles_of_their_own(tmp_path, split):
    shown = "validation" if split == "validation_variants" else split
    index = build_index(tmp_path)
    listed = read_manifest(index, IndexManifest)
    images = tuple(image.model_copy(update={"split": shown}) for image in listed.images)
    write_manifest(index, listed.model_copy(update={"images": images, "split": shown}))
    stage("crop")(crop_job(tmp_path, index, split))
    folder = tmp_path / "out/10_tiles/grid/can"
    plain, originals = np.load(folder / f"{split}.npy"), [image.id for image in images]
    if split != "validation_variants":
        assert [image.id for image in read_manifest(folder / f"{split}.json", TilesManifest).images] == originals
    light_variants = {"train_variants": 2, "validation_variants": 2, "wide": {"noise_std": 3.0}}
    stage("crop")(crop_job(tmp_path, index, split, light_variants=light_variants))
    tiles, manifest = np.load(folder / f"{split}.npy"), read_manifest(folder / f"{split}.json", TilesManifest)
    assert manifest.split == split
    versions = {"train": ("", "~1", "~2"), "validation": ("",), "validation_variants": ("~1", "~2")}[split]
    assert [image.id for image in manifest.images] == [f"{name}{version}" for name in originals for version in versions]
    place = 0
    for image in manifest.images:
        own = tiles[place : place + len(image.boxes_xyxy)]
        place += len(image.boxes_xyxy)
        file = next(record.file for record in images if record.id == image.id.partition("~")[0])
        photograph = read_image(tmp_path / "data" / file)
        same = np.array_equal(own, cut_tiles(photograph, image.boxes_xyxy, own.shape[1:3]))
        assert same == ("~" not in image.id)
    assert place == len(tiles)
    if split == "validation":
        assert np.array_equal(tiles, plain)
    stage("crop")(crop_job(tmp_path, index, split, threads=3, light_variants=light_variants))
    assert np.array_equal(np.load(folder / f"{split}.npy"), tiles)


def write_tilemaps(root, tiles_path, detector, function, cells=32, split="test_public"):
    """Stand in for infer: the score of a cell is a function of its centre in image px."""
    tiles = read_manifest(tiles_path, TilesManifest)
    unit = (np.arange(cells) + 0.5) / cells
    scores = [
        function(image, y0 + unit[:, None] * (y1 - y0), x0 + unit[None, :] * (x1 - x0)) * np.ones((cells, cells))
        for image in tiles.images
        for x0, y0, x1, y1 in image.boxes_xyxy
    ]
    folder = root / "out" / "30_tilemaps" / detector / "can"
    folder.mkdir(parents=True, exist_ok=True)
    array = np.stack(scores).astype(np.float32)
    np.save(folder / f"{split}.npy", array)
    stride = tiles.grid.input_shape[0] / cells
    manifest = TilemapsManifest(
        detector=detector,
        category="can",
        split=split,
        file=f"{split}.npy",
        shape=array.shape,
        sha256=file_digest(folder / f"{split}.npy"),
        tiles_sha256=tiles.sha256,
        minimum=float(np.nan_to_num(array).min()),
        maximum=float(np.nan_to_num(array).max()),
        cells=CellGeometry(stride_px=(stride, stride), offset_px=(stride / 2, stride / 2)),
    )
    write_manifest(folder / f"{split}.json", manifest)
    return folder / f"{split}.json"


def merge_job(root, tiles, tilemaps, detector, threads=1, split="test_public", **changes):
    return Job.for_test(
        "merge",
        inputs={"tiles": tiles, "tilemaps": tilemaps, "tilemaps_npy": tilemaps.with_suffix(".npy")},
        outputs={"manifest": root / "out" / "40_maps" / detector / "can" / f"{split}.json"},
        params={"settings": MERGE | changes},
        wildcards={"detector": detector, "category": "can", "split": split},
        threads=threads,
    )


def fuse_job(root, maps, validation, threads=1, **settings):
    return Job.for_test(
        "fuse",
        inputs={"maps": maps, "validation": validation},
        outputs={"manifest": root / "out" / "45_fused" / "can" / "test_public.json"},
        params={"settings": settings},
        wildcards={"category": "can", "split": "test_public"},
        threads=threads,
    )


@pytest.fixture
def tiles(tmp_path):
    """Manifest of cropped tiles."""
    job = crop_job(tmp_path, build_index(tmp_path))
    stage("crop")(job)
    return job.target("manifest")


def merged(root, tiles, detector, function, **changes):
    tilemaps = write_tilemaps(root, tiles, detector, function)
    job = merge_job(root, tiles, tilemaps, detector, **changes)
    stage("merge")(job)
    return job.target("manifest")


def row_and_column(_image, y, x):
    return y + 1000.0 * x


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_coordinates_survive_crop_and_merge(tmp_path, tiles):
    path = merged(tmp_path, tiles, "mock", row_and_column)
    manifest = read_manifest(path, MapsManifest)
    assert (manifest.detector, manifest.category, manifest.split) == ("mock", "can", "test_public")
    assert [record.id for record in manifest.maps] == list(IMAGES)
    for record in manifest.maps:
        width, height = IMAGES[record.id]
        assert record.file == f"test_public/{record.id}.tiff"
        assert (record.image_width, record.image_height) == (record.map_width, record.map_height) == (width, height)
        scores = read_map(path.parent / record.file, (height, width))
        expected = (np.arange(height) + 0.5)[:, None] + 1000.0 * (np.arange(width) + 0.5)
        assert np.abs(scores / expected - 1.0).max() < 1e-6
        assert record.mean == pytest.approx(expected.mean(), rel=1e-6)
        assert (record.minimum, record.maximum) == (scores.min(), scores.max())


def test_pictures_smaller_than_the_window_have_even_tiles_without_padding(tmp_path):
    grid = {"layout": "even", "window_px": 45, "overlap": 0.25, "input_px": 64}
    job = crop_job(tmp_path, build_index(tmp_path), grid=grid)
    stage("crop")(job)
    manifest, first = read_manifest(job.target("manifest"), TilesManifest), 0
    array = np.load(job.target("manifest").with_suffix(".npy"))
    for image in manifest.images:
        side = min(45, image.width, image.height)
        pixels = read_image(tmp_path / "data" / "can" / "test_public" / f"{image.id}.png")[:, :, 0]
        for tile, (x0, y0, x1, y1) in zip(array[first:], image.boxes_xyxy, strict=False):
            shown = pixels[y0:y1, x0:x1]
            assert shown.shape == (side, side)
            assert np.array_equal(tile[:, :, 0], Image.fromarray(shown).resize((64, 64), Image.Resampling.BILINEAR))
        first += len(image.boxes_xyxy)
    for record in read_manifest(merged(tmp_path, job.target("manifest"), "mock", row_and_column), MapsManifest).maps:
        scores = read_map(tmp_path / "out" / "40_maps" / "mock" / "can" / record.file)
        width, height = IMAGES[record.id]
        expected = (np.arange(height) + 0.5)[:, None] + 1000.0 * (np.arange(width) + 0.5)
        half_cell_px = 1000.0 * 45 / 32 / 2 + 1
        assert np.abs(scores - expected).max() < half_cell_px
        assert record.cell_px == pytest.approx(min(45, width, height) / 32)


def test_maps_have_the_scale_of_the_settings(tmp_path, tiles):
    path = merged(tmp_path, tiles, "mock", row_and_column, scale=0.25)
    sizes = [(record.map_width, record.map_height) for record in read_manifest(path, MapsManifest).maps]
    assert sizes == [(30, 12), (12, 10), (100, 8)]


def test_stored_tiles_are_those_of_their_own_image(tmp_path, tiles):
    manifest = read_manifest(tiles, TilesManifest)
    array = np.load(tiles.with_suffix(".npy"), mmap_mode="r")
    assert array.shape == manifest.shape
    assert len(manifest.images[2].boxes_xyxy) == 17 * 2
    first = 0
    for image in manifest.images:
        pixels = Image.open(tmp_path / "data" / "can" / "test_public" / f"{image.id}.png")
        for tile, box in zip(array[first:], image.boxes_xyxy, strict=False):
            assert np.array_equal(
                tile[:, :, 0], np.asarray(pixels.crop(box).resize((16, 16), Image.Resampling.BILINEAR))
            )
        first += len(image.boxes_xyxy)


def test_outputs_do_not_depend_on_threads_or_on_a_second_run(tmp_path, tiles):
    index = tmp_path / "out" / "00_index" / "can" / "test_public.json"
    tilemaps = write_tilemaps(tmp_path, tiles, "mock", row_and_column)
    seen = []
    for threads in (1, 3, 1):
        stage("crop")(crop_job(tmp_path, index, threads=threads))
        stage("merge")(merge_job(tmp_path, tiles, tilemaps, "mock", threads=threads, smooth_sigma_px=3.0))
        seen.append(files_below(tmp_path / "out"))
    assert seen[0] == seen[1] == seen[2]
    assert not [name for name in seen[0] if ".tmp-" in name]


def test_an_empty_split_is_refused(tmp_path):
    index = build_index(tmp_path)
    write_manifest(index, IndexManifest(category="can", split="validation", layout="mvtec_ad_2", images=()))
    job = crop_job(tmp_path, index, split="validation")
    with pytest.raises(DataError, match="no image of split validation"):
        stage("crop")(job)


def test_a_damaged_image_is_named_and_leaves_nothing(tmp_path):
    index = build_index(tmp_path)
    (tmp_path / "data" / "can" / "test_public" / "good" / "a.b_c.png").write_bytes(b"\x89PNG\r\n")
    job = crop_job(tmp_path, index)
    with pytest.raises(DataError, match=r"a\.b_c\.png") as caught:
        stage("crop")(job)
    assert caught.value.__notes__ == ["while working on good/a.b_c"]
    assert list(job.target("tiles").parent.iterdir()) == []


def test_non_finite_scores_are_refused_by_tile(tmp_path, tiles):
    def spoiled(image, y, x):
        return np.where((image.id == "good/a.b_c") & (y > 34.0) & (x > 50.0), np.nan, y + x)

    with pytest.raises(
        ManifestError, match=r"detector mock, category can, split test_public: tile 3 of image good/a\.b_c"
    ):
        merged(tmp_path, tiles, "mock", spoiled)
    assert not (tmp_path / "out" / "40_maps").exists()


def test_scores_of_other_tiles_are_refused(tmp_path, tiles):
    tilemaps = write_tilemaps(tmp_path, tiles, "mock", row_and_column)
    stage("crop")(
        crop_job(tmp_path, tmp_path / "out" / "00_index" / "can" / "test_public.json", grid=GRID | {"layout": "even"})
    )
    with pytest.raises(ManifestError, match="scores of other tiles"):
        stage("merge")(merge_job(tmp_path, tiles, tilemaps, "mock"))


@pytest.mark.parametrize("damage", ["missing", "cut", "float64"])
def test_a_damaged_score_array_is_refused(tmp_path, tiles, damage):
    tilemaps = write_tilemaps(tmp_path, tiles, "mock", row_and_column)
    array = tilemaps.with_suffix(".npy")
    if damage == "missing":
        array.unlink()
    elif damage == "cut":
        array.write_bytes(array.read_bytes()[:5000])
    else:
        np.save(array, np.load(array).astype(np.float64))
    with pytest.raises(ManifestError, match=r"test_public\.npy: .*rebuild them with: snakemake"):
        stage("merge")(merge_job(tmp_path, tiles, tilemaps, "mock"))


def test_a_single_member_is_referred_to_and_replaces_fused_files(tmp_path, tiles):
    a = merged(tmp_path, tiles, "a", row_and_column)
    b = merged(tmp_path, tiles, "b", lambda _, y, x: y)
    stage("fuse")(fuse_job(tmp_path, [a, b], [a, b], members=["a", "b"]))
    job = fuse_job(tmp_path, [a], [a], members=["a"], weights={"a": 2.0})
    assert job.target("manifest").with_suffix("").is_dir()
    stage("fuse")(job)
    fused, own = read_manifest(job.target("manifest"), MapsManifest), read_manifest(a, MapsManifest)
    assert fused.detector == "a"
    assert [record.sha256 for record in fused.maps] == [record.sha256 for record in own.maps]
    for record in fused.maps:
        assert record.file == f"../../40_maps/a/can/test_public/{record.id}.tiff"
        read_map(job.target("manifest").parent / record.file)
    assert not job.target("manifest").with_suffix("").exists()


@pytest.mark.parametrize("members", [["a"], ["a", "b"]])
def test_borders_are_levelled_member_by_member(tmp_path, tiles, members):
    def rising(image, y, x):
        """Score 1, and up to 2 at the border of the picture."""
        border = np.minimum(np.minimum(y, image.height - y), np.minimum(x, image.width - x))
        return 1.0 + np.maximum(0.0, 1.0 - border / (0.1 * min(image.width, image.height)))

    paths = {"a": merged(tmp_path, tiles, "a", rising), "b": merged(tmp_path, tiles, "b", row_and_column)}
    chosen = [paths[name] for name in members]
    job = fuse_job(tmp_path, chosen, chosen, members=members, level_borders=True, normalise="none")
    stage("fuse")(job)
    for record in read_manifest(job.target("manifest"), MapsManifest).maps:
        levelled, other = (
            read_map(path.parent / f"test_public/{record.id}.tiff") for path in (job.target("manifest"), paths["b"])
        )
        first = len(members) * levelled - (other if len(members) == 2 else 0.0)
        assert np.abs(first[3:-3, 3:-3] - 1.0).max() < 0.35
        assert read_map(paths["a"].parent / f"test_public/{record.id}.tiff").max() > 1.8


def tails(maps):
    """Median over maps of their medians, and how far that of their 0.99 quantiles lies above."""
    centre, upper = (
        np.median([np.quantile(scores, share, method="inverted_cdf") for scores in maps]) for share in (0.5, 0.99)
    )
    return centre, upper - centre


@pytest.mark.parametrize("normalise", ["none", "validation_z", "validation_tails"])
def test_several_members_are_fused_on_the_scale_of_their_validation_maps(tmp_path, tiles, normalise):
    a = merged(tmp_path, tiles, "a", row_and_column)
    b = merged(tmp_path, tiles, "b", lambda _, y, x: 0.5 * y)
    job = fuse_job(tmp_path, [b, a], [b, a], threads=2, members=["a", "b"], weights={"b": 3.0}, normalise=normalise)
    stage("fuse")(job)
    fused = read_manifest(job.target("manifest"), MapsManifest)
    assert (fused.detector, [record.id for record in fused.maps]) == ("a+b", list(IMAGES))
    members = [[read_map(path.parent / f"test_public/{name}.tiff") for name in IMAGES] for path in (a, b)]
    expected = [np.zeros_like(scores) for scores in members[0]]
    for weight, maps in zip((1.0, 3.0), members, strict=True):
        pixels = np.concatenate([scores.ravel() for scores in maps]).astype(np.float64)
        scales = {"none": (0.0, 1.0), "validation_z": (pixels.mean(), pixels.std()), "validation_tails": tails(maps)}
        centre, spread = scales[normalise]
        expected = [
            total + weight * (scores - centre) / spread / 4.0 for total, scores in zip(expected, maps, strict=True)
        ]
    for record, wanted in zip(fused.maps, expected, strict=True):
        assert record.file == f"test_public/{record.id}.tiff"
        assert np.allclose(read_map(job.target("manifest").parent / record.file), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("level_borders", [False, True])
def test_the_maximum_can_be_taken_apart_into_its_members(tmp_path, tiles, level_borders):
    a = merged(tmp_path, tiles, "a", row_and_column)
    b = merged(tmp_path, tiles, "b", lambda _, y, x: 0.5 * y)
    for members, how, layers in ((["a", "b"], "max", 2), (["a", "b"], "mean", 1), (["a"], "max", 1)):
        paths = [a, b][: len(members)]
        job = fuse_job(tmp_path, paths, paths, members=members, how=how, level_borders=level_borders)
        stage("fuse")(job)
        target = job.target("manifest")
        fused = read_manifest(target, MapsManifest)
        for record in fused.maps:
            parts = list(read_layers(target, fused, record, load_map(target, record)))
            assert len(parts) == layers
            assert np.array_equal(np.maximum.reduce([part.scores for part in parts]), load_map(target, record))
            assert [part.cell_px for part in parts] == [pytest.approx(1.0)] * layers


def test_a_member_whose_validation_maps_are_constant_is_refused(tmp_path, tiles):
    a = merged(tmp_path, tiles, "a", row_and_column)
    b = merged(tmp_path, tiles, "b", lambda _, y, x: 0.5)
    job = fuse_job(tmp_path, [a, b], [a, b], members=["a", "b"])
    with pytest.raises(DataError, match=r"all validation scores of b are 0\.5"):
        stage("fuse")(job)
    assert not job.target("manifest").exists()
