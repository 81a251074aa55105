import numpy as np
import pytest
import tifffile
from PIL import Image

from seamark.errors import DataError, ManifestError
from seamark.files import images


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3)])
def test_images_come_back_as_they_are(tmp_path, shape):
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    read = images.read_image(tmp_path / "x.png")
    assert read.shape == (7, 5, 3 if len(shape) == 3 else 1)
    assert np.array_equal(read.squeeze(), pixels)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    "extra", [{}, {"transparency": 7}, {"icc_profile": b"not a profile"}, {"gamma": 0.3}, {"compress_level": 0}]
)
def test_decoded_values_are_those_of_pillow(tmp_path, mode, extra):
    shape = (19, 23) if mode == "L" else (19, 23, 3)
    pixels = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    if mode == "RGB" and "transparency" in extra:
        extra = {"transparency": (1, 2, 3)}
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif, **extra)
    with Image.open(tmp_path / "x.png") as opened:
        assert opened.mode == mode
        assert np.array_equal(images.read_image(tmp_path / "x.png").squeeze(), np.asarray(opened))


@pytest.mark.parametrize("suffix", [".bmp", ".tif"])
def test_other_lossless_formats_are_read(tmp_path, suffix):
    pixels = np.random.default_rng(3).integers(0, 256, (9, 8, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"x{suffix}")
    assert np.array_equal(images.read_image(tmp_path / f"x{suffix}"), pixels)


def test_a_flipped_bit_is_found_by_its_check_sum(tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 90), np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    content[4000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.png.*damaged"):
        images.read_image(path)


def test_a_truncated_image_is_named(tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 90), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(DataError, match=r"x\.png.*(truncated|damaged)"):
        images.read_image(path)


def test_a_missing_image_and_a_text_file_are_named(tmp_path):
    with pytest.raises(DataError, match="missing"):
        images.read_image(tmp_path / "no.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(DataError, match="not a readable image"):
        images.read_image(tmp_path / "text.png")


def test_huge_images_are_refused_before_decoding(tmp_path):
    Image.new("L", (20, 20)).save(tmp_path / "x.png")
    with pytest.raises(DataError, match="limit of 399"):
        images.read_image(tmp_path / "x.png", 399)


def test_masks_round_trip_as_0_and_255(tmp_path):
    mask = np.random.default_rng(1).random((9, 14)) > 0.5
    images.write_mask(tmp_path / "m.png", mask)
    with Image.open(tmp_path / "m.png") as written:
        assert written.mode == "L"
        assert set(np.unique(np.asarray(written))) == {0, 255}
    assert np.array_equal(images.read_mask(tmp_path / "m.png"), mask)


@pytest.mark.parametrize("value", [1, 128, 254])
def test_soft_masks_are_refused(tmp_path, value):
    pixels = np.zeros((5, 5), np.uint8)
    pixels[2, 2] = value
    Image.fromarray(pixels).save(tmp_path / "m.png")
    with pytest.raises(DataError, match=f"values \\[{value}\\]"):
        images.read_mask(tmp_path / "m.png")


def test_maps_round_trip_and_open_in_pillow(tmp_path):
    anomaly_map = np.random.default_rng(1).normal(size=(6, 11)).astype(np.float32)
    images.write_map(tmp_path / "a.tiff", anomaly_map)
    assert np.array_equal(images.read_map(tmp_path / "a.tiff", (6, 11)), anomaly_map)
    with Image.open(tmp_path / "a.tiff") as opened:
        assert np.array_equal(np.asarray(opened), anomaly_map)


def test_map_files_are_deterministic(tmp_path):
    anomaly_map = np.ones((6, 11), np.float32)
    images.write_map(tmp_path / "a.tiff", anomaly_map)
    images.write_map(tmp_path / "b.tiff", anomaly_map)
    assert (tmp_path / "a.tiff").read_bytes() == (tmp_path / "b.tiff").read_bytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_maps_are_refused_when_written_and_when_read(tmp_path, bad):
    anomaly_map = np.zeros((4, 4), np.float32)
    anomaly_map[1, 2] = bad
    with pytest.raises(DataError, match="1 non-finite"):
        images.write_map(tmp_path / "a.tiff", anomaly_map)
    tifffile.imwrite(tmp_path / "b.tiff", anomaly_map)
    with pytest.raises(ManifestError, match="non-finite"):
        images.read_map(tmp_path / "b.tiff")


def test_a_map_of_another_shape_is_refused(tmp_path):
    images.write_map(tmp_path / "a.tiff", np.zeros((4, 4), np.float32))
    with pytest.raises(ManifestError, match=r"\(5, 4\)"):
        images.read_map(tmp_path / "a.tiff", (5, 4))


def test_array_digest_sees_values_shape_and_type():
    base = np.arange(6, dtype=np.uint8)
    digests = {images.array_digest(array) for array in (base, base + 1, base.reshape(2, 3), base.astype(np.int32))}
    assert len(digests) == 4
