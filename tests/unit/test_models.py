"""Trained models on disk: only what training made, and bound to the weights of the backbone."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from seamark.backbones.table import BACKBONES
from seamark.detectors.inp_former.detector import InpFormer
from seamark.errors import ManifestError
from seamark.files.atomic import file_digest
from seamark.learning.stored_models import read_model, write_model
from seamark.networks.vision_transformer import VisionTransformer
from seamark.settings.inp_former import InpFormerSettings

NAME = "dinov2_vits14_reg"
SHAPE = (56, 42)


@pytest.fixture
def backbone_file(tmp_path, monkeypatch):
    """Shrink the architecture behind the name and write a file of weights for it."""
    entry = replace(BACKBONES[NAME], strides=(14,) * 3, channels=(16,) * 3, layers=(0, 2), heads=2)
    monkeypatch.setitem(BACKBONES, NAME, entry)
    return write_weights(tmp_path / "backbone.pth", seed=0)


def write_weights(path, seed):
    torch.manual_seed(seed)
    torch.save(VisionTransformer(16, 3, 2).state_dict(), path)
    return path


def settings_for(path):
    return InpFormerSettings(backbone=NAME, weights=str(path), decoder_blocks=2)


@pytest.fixture
def written(backbone_file, tmp_path):
    settings = settings_for(backbone_file)
    detector = InpFormer(settings, SHAPE, seed=5)
    with torch.no_grad():
        for parameter in detector.network.parameters():
            parameter.add_(0.1)
    write_model(tmp_path / "model.safetensors", detector, settings)
    return tmp_path / "model.safetensors", settings, detector


def test_a_model_holds_the_trainable_part_and_the_digest_of_the_backbone(written, backbone_file):
    path, _, detector = written
    trainable = {name for name, tensor in detector.named_parameters() if tensor.requires_grad}
    stored = load_file(path)
    assert stored.keys() == trainable
    assert all(name.startswith("network.") for name in stored)
    assert len(stored) + 8 + 3 * 14 == len(detector.state_dict())
    with safe_open(path, framework="pt") as stream:
        facts = json.loads(stream.metadata()["seamark"])
    assert facts["backbone_digest"] == file_digest(backbone_file) == detector.backbone.digest


def test_a_model_read_again_scores_the_same(written):
    path, settings, detector = written
    tiles = torch.randn(2, 3, *SHAPE, generator=torch.Generator().manual_seed(1))
    again = read_model(path, InpFormer, settings, SHAPE)
    assert torch.equal(again.score(tiles), detector.score(tiles))
    assert not any(parameter.requires_grad for parameter in again.backbone.parameters())


def test_a_model_on_another_backbone_is_refused(written, backbone_file):
    path, settings, detector = written
    write_weights(backbone_file, seed=1)
    expected = f"trained on backbone weights {detector.backbone.digest}, found {file_digest(backbone_file)}; put the"
    with pytest.raises(ManifestError, match=expected):
        read_model(path, InpFormer, settings, SHAPE)
    write_weights(backbone_file, seed=0)
    read_model(path, InpFormer, settings, SHAPE)


def test_a_model_on_random_weights_is_refused(written):
    path, _, _ = written
    with pytest.raises(ManifestError, match="trained with other settings"):
        read_model(path, InpFormer, settings_for("random"), SHAPE)
