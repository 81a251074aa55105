"""A small accepted submission, and the expectation it meets."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from seamark.submission.expected import MAPS_FOLDER, MASKS_FOLDER, ExpectedImage, ExpectedSubmission

CATEGORIES = {"felt": (48, 40), "wool": (40, 56)}
COUNTS = {"test_private": (3, "regular"), "test_private_mixed": (2, "mixed")}


@pytest.fixture
def expected():
    images = {
        category: {
            split: tuple(ExpectedImage(f"{number:03d}_{light}", *size) for number in range(count))
            for split, (count, light) in COUNTS.items()
        }
        for category, size in CATEGORIES.items()
    }
    return ExpectedSubmission(images, map_scale=0.25)


@pytest.fixture
def submission(tmp_path, expected):
    rng = np.random.default_rng(3)
    folder = tmp_path / "toy"
    for category, splits in expected.images.items():
        for split, images in splits.items():
            maps, masks = (folder / kind / category / split for kind in (MAPS_FOLDER, MASKS_FOLDER))
            maps.mkdir(parents=True)
            masks.mkdir(parents=True)
            for image in images:
                shape = image.height, image.width
                tifffile.imwrite(maps / f"{image.name}.tiff", rng.random(shape).astype(np.float16), metadata=None)
                mask = (rng.random(shape) < 0.1).astype(np.uint8) * 255
                Image.fromarray(mask).save(masks / f"{image.name}.png")
    return folder
