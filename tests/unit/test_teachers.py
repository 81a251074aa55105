"""Teachers by name, and the weights that distilling needs."""

import pytest
from tests.workflow.test_presets import merged

from seamark.data.layout import FoundImage, limited
from seamark.errors import ConfigError, WeightsError
from seamark.planning.required_weights import detector_weights, distill_weights, require_all
from seamark.settings.config import load_config
from seamark.settings.efficientad import EfficientAdSettings
from seamark.teachers.naming import teacher_key, wanted_teacher


def block(*presets):
    return load_config(merged(*presets)).detector_blocks["efficientad"]


def test_weights_of_the_backbone_are_needed_to_distil_and_not_to_train(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = block("efficientad_cdo")
    require_all(detector_weights("efficientad", found))
    with pytest.raises(WeightsError, match=r"detectors\.mine\.weights: (.|\n)*wide_resnet101_2-32ee1156\.pth"):
        require_all(distill_weights("mine", wanted_teacher(found)))
    require_all(distill_weights("mine", wanted_teacher(block("efficientad_cdo_small_backbone"))))


def test_a_teacher_of_ones_own_must_be_there(tmp_path):
    found = block("efficientad_cdo").model_copy(update={"teacher": str(tmp_path / "teacher.pth")})
    assert wanted_teacher(found) is None
    with pytest.raises(WeightsError, match="set `teacher: distilled`"):
        require_all(detector_weights("efficientad", found))
    (tmp_path / "teacher.pth").touch()
    require_all(detector_weights("efficientad", found))


def test_the_key_of_a_teacher_follows_what_it_depends_on():
    found = EfficientAdSettings()
    first = teacher_key(found.teacher_settings, "photographs", 1)
    same = found.model_copy(update={"steps": 5, "grid": "other", "checkpoint_every_s": 1.0, "cdo_gamma": 0.0})
    assert teacher_key(same.teacher_settings, "photographs", 1) == first
    other = found.model_copy(update={"network": "medium"})
    keys = {
        first,
        teacher_key(other.teacher_settings, "photographs", 1),
        teacher_key(found.teacher_settings, "others", 1),
        teacher_key(found.teacher_settings, "photographs", 2),
        teacher_key(found.teacher_settings, "photographs", 1, "any_cpu"),
    }
    assert len(keys) == 5


def test_alpha_needs_efficientad():
    raw = merged()
    raw["merge"]["alpha"] = 0.5
    with pytest.raises(ConfigError, match=r"merge\.alpha: weighs the maps of efficientad"):
        load_config(raw)


def test_fewer_training_images_are_nested_and_leave_the_other_splits():
    images = [FoundImage(f"{number:03d}", "train", "", "good", "regular", None) for number in range(50)]
    images += [FoundImage(f"{number:03d}", "validation", "", "good", "regular", None) for number in range(5)]
    chosen = {number: limited(images, number, 1) for number in (10, 30, 50, 80)}
    assert [len(part) for part in chosen.values()] == [15, 35, 55, 55]
    assert set(chosen[10]) < set(chosen[30]) < set(chosen[50])
    assert list(chosen[30]) == [image for image in images if image in set(chosen[30])]
    assert limited(images, None, 1) == tuple(images)
    assert limited(images, 10, 2) != chosen[10]
