"""Work of the demo as the forecasts see it."""

from pathlib import Path

from seamark.forecast.photographs import DataSetSizes
from seamark.forecast.work import Work
from seamark.settings.config import load_config

INP_FORMER = {
    "backbone": "efficientnet_lite0",
    "layers": [2, 3],
    "feature_cache_mb": 1000,
    "decoder_blocks": 4,
    "max_steps": 400,
    "batch_size": 4,
    "token_share": 0.1,
    "augmentation": {"frozen_variants": 2},
}
RAW = {
    "data": {"root": "data/demo", "truth_root": "data/demo_truth", "demo": True},
    "grids": {"tile": {"layout": "even", "window_px": 640, "overlap": 0.1, "input_px": 512}},
    "detectors": {"inp_former": INP_FORMER},
    "fuse": {"members": ["inp_former"]},
}
CONFIG = load_config(RAW)
SIZES = DataSetSizes(CONFIG, {})
SPLITS = ("validation", "test_public", "test_private", "test_private_mixed")


def work(stage, category="washers", splits=("test_public",), **facts):
    training, outputs = SIZES.of(category, ("train",)), (Path("out/a.json"),)
    facts = {"detector": "inp_former", "outputs": outputs, **facts}
    return Work(stage, CONFIG, SIZES.of(category, splits), training, category, **facts)


TRAIN = work("train", splits=("train", "validation"))
