"""Every registered detector as a graph: the same score cells as torch's, for batches of any size."""

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tests.contract.test_detectors import BLOCKS, SIZE, make, toy_tiles

from seamark.errors import ConfigError, DataError, ManifestError
from seamark.export import onnx_writing
from seamark.export.onnx_scorer import TILES, OnnxScorer
from seamark.export.onnx_writing import OPSET, write_onnx
from seamark.files.atomic import file_digest
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.learning.detector import ComponentDetector
from seamark.learning.phases import ComputedPhase
from seamark.registry import DETECTORS


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
    for outputs in (session.run(None, {TILES: tiles}), session.run(None, {TILES: tiles[:1]}), scorer(tiles)):
        for output, own in zip((part for part in outputs if part is not None), expected, strict=True):
            assert output.shape[1:] == own.shape[1:]
            np.testing.assert_allclose(output, own[: len(output)], rtol=0, atol=1e-4 * float(own.max() - own.min()))


@pytest.mark.parametrize(
    ("name", "backbone", "layers"),
    [
        ("feature_bank", "timm:convnextv2_atto", [1, 2]),
        ("inp_former", "timm:vit_tiny_patch16_dinov3_qkvb", [2, 4]),
    ],
)
def test_graphs_have_models_of_timm_in_them(name, backbone, layers, tmp_path, monkeypatch):
    monkeypatch.setitem(BLOCKS, name, BLOCKS[name] | {"backbone": backbone, "layers": layers})
    test_a_graph_gives_the_scores_of_its_detector(name, tmp_path)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "how", [{"size": (5, 14)}, {"size": (5, 7), "antialias": True}, {"scale_factor": [0.51, 1.41]}]
)
def test_resizing_is_that_of_torch(mode, how, tmp_path):
    class Resized(torch.nn.Module):
        def forward(self, images):
            return torch.nn.functional.interpolate(2.0 * images, mode=mode, **how)

    images, path = torch.rand(2, 3, 10, 10, generator=torch.Generator().manual_seed(1)), tmp_path / "graph.onnx"
    onnx_writing._trace(Resized(), images, path, ["resized"])
    (found,) = onnxruntime.InferenceSession(path).run(None, {TILES: images.numpy()})
    np.testing.assert_allclose(found, Resized()(images), rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def detector():
    return fitted("constant")


@pytest.fixture(scope="module")
def graph(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "graph.onnx"
    write_onnx(path, detector)
    return path


def test_the_same_weights_give_the_same_bytes(tmp_path):
    detector = fitted("efficientad")
    paths = [tmp_path / "first.onnx", tmp_path / "second.onnx"]
    for path in paths:
        write_onnx(path, detector)
        images = detector.backbone.normalise(torch.from_numpy(strange_tiles(1)))
        assert torch.isfinite(detector.score(images)).all()  # it scores as before in between
    assert file_digest(paths[0]) == file_digest(paths[1])


def test_a_graph_is_valid_and_takes_any_number_of_tiles(graph):
    model = onnx.load(graph)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import] == [OPSET]
    first = model.graph.input[0].type.tensor_type
    assert (first.elem_type, first.shape.dim[0].dim_param) == (onnx.TensorProto.UINT8, "batch")
    assert [dim.dim_value for dim in first.shape.dim[1:]] == [SIZE, SIZE, 3]


def test_grey_tiles_are_repeated(graph):
    grey, scorer = strange_tiles(2, channels=1), OnnxScorer(graph)
    assert np.array_equal(scorer(grey)[0], scorer(np.repeat(grey, 3, axis=3))[0])


@pytest.mark.parametrize(
    "tiles", [strange_tiles(1)[:, 1:], strange_tiles(1, 2), strange_tiles(1)[:0], strange_tiles(1).astype(np.int16)]
)
def test_other_tiles_are_refused(graph, tiles):
    with pytest.raises(DataError, match="the graph takes uint8"):
        OnnxScorer(graph)(tiles)


@pytest.mark.parametrize("damage", [lambda _: b"", lambda content: content[:500], lambda content: content[:-200]])
def test_damaged_files_are_refused(graph, tmp_path, damage):
    path = tmp_path / "damaged.onnx"
    path.write_bytes(damage(graph.read_bytes()))
    for refused in (path, tmp_path / "missing.onnx"):
        with pytest.raises(ManifestError, match=f"{refused.name}: not a graph of a detector .*export it again"):
            OnnxScorer(refused)


def test_what_is_not_installed_is_named(graph, detector, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for work in (lambda: OnnxScorer(graph), lambda: write_onnx(tmp_path / "graph.onnx", detector)):
        with pytest.raises(ConfigError, match=r"pip install 'seamark\[onnx\]'"):
            work()


def test_weights_that_no_graph_can_hold_are_refused(detector, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_writing, "MOST_BYTES", 100)
    with pytest.raises(ConfigError, match="a graph holds at most 100; export one with a smaller"):
        write_onnx(tmp_path / "graph.onnx", detector)
    assert not [*tmp_path.iterdir()]


def test_scoring_loads_no_torch():
    code = "import sys, seamark.export.onnx_scorer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
