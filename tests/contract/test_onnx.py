"""Every registered detector as a graph: the same score cells as torch's, for batches of any size."""

import subprocess
import sys
from functools import partial

import numpy as np
import onnxruntime
import pytest
import torch

from seamark.errors import ConfigError, DataError, ManifestError
from seamark.export.onnx_scorer import TILES, OnnxScorer
from seamark.export.onnx_writing import OPSET, write_onnx
from seamark.files.atomic import file_digest
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.learning.detector import ComponentDetector
from seamark.learning.phases import ComputedPhase
from seamark.registry import DETECTORS
from tests.contract.test_detectors import SIZE, make, toy_tiles


def fitted(name):
    """Return a detector with what is computed of tiles and not learned: banks, statistics, quantiles."""
    detector, _ = make(name)
    reader = TileReader(toy_tiles(), detector.backbone.normalise, "cpu", 0)
    tiles = TrainingTiles(reader, reader)
    for phase in detector.phases(tiles):
        if isinstance(phase, ComputedPhase):
            phase.run(tiles, lambda items, _: items)
    return detector.eval()


def strange_tiles(number, channels=3):
    return np.random.default_rng(9).integers(0, 256, (number, SIZE, SIZE, channels), dtype=np.uint8)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_graph_gives_the_scores_of_its_detector(name, tmp_path):
    detector, path, tiles = fitted(name), tmp_path / "graph.onnx", strange_tiles(3)
    facts = write_onnx(path, detector)
    with torch.inference_mode():
        images = detector.backbone.normalise(torch.from_numpy(tiles))
        expected = [detector.score(images)]
        if isinstance(detector, ComponentDetector):
            expected.append(detector.component_scores(images))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    scorer = OnnxScorer(path)
    assert scorer.facts == facts
    assert (facts.map_shape, facts.cells) == (detector.map_shape, detector.cells)
    found = [session.run(None, {TILES: tiles}), session.run(None, {TILES: tiles[:1]}), scorer(tiles)]
    for outputs in found:
        for output, own in zip((part for part in outputs if part is not None), expected, strict=True):
            own = own.numpy()[: len(output)]
            assert output.shape == own.shape
            np.testing.assert_allclose(output, own, rtol=0, atol=1e-4 * np.ptp(own))
