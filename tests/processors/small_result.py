"""Train, score, merge, binarize and refine at toy size, and print digests of all that."""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from tests.contract.test_detectors import SIZE, images, run, toy_tiles

from seamark.files.images import array_digest
from seamark.maps.merging import merge_tiles
from seamark.masks.binarize import exceeds
from seamark.masks.grabcut import GrabCut
from seamark.settings.light_variants import LightVariantsSettings
from seamark.settings.merge import MergeSettings
from seamark.settings.refine import GrabCutSettings
from seamark.synthesis.photometric import wide_variant


def digests(detectors, folder):
    variant = wide_variant(toy_tiles(1)[0], LightVariantsSettings().wide, np.random.default_rng(1))
    found = {"variant": array_digest(variant)}
    for name in detectors:
        detector, _ = run(name, folder / name)
        scores = detector.score(images(detector, 1)).numpy()
        box, shape = (0, 0, SIZE, SIZE), (SIZE, SIZE)
        merged = merge_tiles(scores, [box], detector.cells, shape, image_shape=shape, settings=MergeSettings())
        mask = exceeds(merged, float(np.quantile(merged, 0.9)), shape, native=True)
        rows, columns = np.nonzero(mask)
        box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
        (patch,) = GrabCut(GrabCutSettings()).segment(variant, mask, np.zeros(mask.shape, np.float32), [box])
        state = [array_digest(tensor.numpy()) for tensor in detector.state().values()]
        found |= {f"{name}: model": state, f"{name}: scores": array_digest(scores)}
        found |= {f"{name}: map": array_digest(merged), f"{name}: mask": array_digest(mask)}
        found |= {f"{name}: refined": array_digest(patch.mask)}
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(digests(sys.argv[1:], Path(folder))))
