"""The teacher of EfficientAD: files of weights it is read from."""

import pytest
import torch
from safetensors.torch import save_file

from seamark.backbones.pdn import load_teacher, write_teacher
from seamark.detectors.efficientad.detector import EfficientAd
from seamark.errors import ConfigError, WeightsError
from seamark.networks.pdn import Pdn, pdn_layers
from seamark.settings.efficientad import EfficientAdSettings

SETTINGS = EfficientAdSettings.model_validate({"teacher": "random", "width": 1 / 16, "channels": 12})
TEACHER = SETTINGS.teacher_settings


class Stranger:
    pass


def test_published_names_are_read(tmp_path):
    torch.manual_seed(0)
    network = Pdn(pdn_layers("small", 12, 1 / 16))
    own = network.state_dict()
    numbers = {0: 0, 1: 3, 2: 6, 3: 8}
    for pattern in ("{}.{}", "conv{}.{}"):
        state = {
            pattern.format(numbers[int(name.split(".")[1])], name.split(".")[2]): tensor for name, tensor in own.items()
        }
        torch.save(state, tmp_path / "teacher.pth")
        save_file(state, tmp_path / "teacher.safetensors")
        for path in sorted(tmp_path.iterdir()):
            loaded = load_teacher(str(path), TEACHER, 0)
            assert all(torch.equal(loaded.network.state_dict()[name], tensor) for name, tensor in own.items())
            assert not loaded.verified
            assert len(loaded.digest) == 64


def test_distilled_from_verified_weights_is_verified(tmp_path):
    path = tmp_path / "teacher.safetensors"
    write_teacher(path, Pdn(pdn_layers("small", 12, 1 / 16)), {"backbone_verified": True})
    assert load_teacher(str(path), TEACHER, 0).verified


def test_code_is_not_unpickled(tmp_path):
    path = tmp_path / "teacher.pth"
    torch.save({"0.weight": Stranger()}, path)
    with pytest.raises(WeightsError, match="not a readable file of weights"):
        load_teacher(str(path), TEACHER, 0)


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "teacher.safetensors"
    write_teacher(path, Pdn(pdn_layers("medium", 12, 1 / 16)), {})
    with pytest.raises(WeightsError, match="Set network, width and channels"):
        load_teacher(str(path), TEACHER, 0)
    with pytest.raises(WeightsError, match="are missing"):
        load_teacher(str(tmp_path / "nothing.pth"), TEACHER, 0)


def test_tiles_smaller_than_a_cell_are_refused():
    with pytest.raises(ConfigError, match="sees 33 px at once"):
        EfficientAd(SETTINGS, (32, 32), seed=3)
