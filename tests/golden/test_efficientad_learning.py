"""Learning of EfficientAD's networks within seconds, on tiny networks (docs/methods/efficientad.md#checks)."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from seamark.detectors.efficientad.autoencoder import Autoencoder
from seamark.detectors.efficientad.detector import EfficientAd
from seamark.detectors.efficientad.discrepancy import (
    ABNORMAL,
    NORMAL,
    collaborative_loss,
    direction_distances,
    hard_loss,
    touched_cells,
)
from seamark.learning.checkpoints import Checkpoint
from seamark.learning.feature_statistics import feature_statistics
from seamark.learning.loop import Training
from seamark.networks.pdn import Pdn, PdnConv
from seamark.settings.efficientad import EfficientAdSettings


def tiny(outputs, seed):
    torch.manual_seed(seed)
    layers = (PdnConv(4, 16, 3, pooled=True), PdnConv(4, 32, 3, pooled=True), PdnConv(3, 32, 1), PdnConv(4, outputs, 0))
    return Pdn(layers)


def teacher_and_images(number):
    teacher = tiny(48, 0)
    images = torch.randn(number, 3, 64, 64)
    with torch.no_grad():
        features = teacher(images)
        mean, std = feature_statistics([features])
        return teacher, images, (features - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1), (mean, std)


def test_a_student_learns_one_batch_by_heart():
    _, images, target, _ = teacher_and_images(1)
    student = tiny(48, 1)
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-3)
    losses = []
    for _ in range(500):
        loss = hard_loss(target, student(images), 0.999)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert 8.0 < losses[0] < 20.0
    assert losses[-1] < 0.25 * losses[0]


def test_noise_drives_a_student_away_from_its_teacher():
    teacher, images, _, (mean, std) = teacher_and_images(4)
    masks = np.zeros((4, 64, 64), np.bool_)
    masks[:, 10:24, 10:24] = True
    patched = torch.where(torch.from_numpy(masks)[:, None], 3.0 * torch.randn_like(images), images)
    with torch.no_grad():
        target = (teacher(patched) - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
    labels = torch.from_numpy(np.stack([touched_cells(mask, "ignored").labels for mask in masks]))
    student = tiny(48, 2)
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-3)
    for _ in range(150):
        optimiser.zero_grad()
        collaborative_loss(direction_distances(target, student(patched)), labels, 2.0).backward()
        optimiser.step()
    with torch.no_grad():
        distances = direction_distances(target, student(patched))
    assert distances[labels == ABNORMAL].mean() > distances[labels == NORMAL].mean() + 1.0


def test_an_autoencoder_learns_one_image():
    torch.manual_seed(3)
    network, image = Autoencoder(6), torch.randn(1, 3, 256, 256)
    target = 1.0 + torch.randn(1, 6, 8, 8).cumsum(dim=2) / 3.0
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(40):
        loss = functional.mse_loss(network(image, (8, 8)), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def texture(number, seed, defect):
    random = np.random.default_rng(seed)
    rows, columns = np.indices((64, 64))
    waves = np.sin(0.4 * rows + random.uniform(0, 6, (number, 1, 1))) * np.cos(0.3 * columns)
    grey = 120 + 40 * waves + random.normal(0, 5, (number, 64, 64))
    if defect:
        for image in grey:
            top, left = random.integers(16, 36, 2)
            image[top : top + 12, left : left + 12] = random.uniform(0, 255)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=3)


@pytest.mark.parametrize("penalty", ["cdo", "none"])
def test_squares_on_a_texture_are_found(penalty, tmp_path):
    settings = EfficientAdSettings.model_validate(
        {
            "teacher": "random",
            "width": 1 / 8,
            "channels": 24,
            "steps": 150,
            "learning_rate": 0.002,
            "penalty": penalty,
            "autoencoder_weight": 0.0,
            "student_autoencoder_weight": 0.0,
            "autoencoder_map": "teacher",
            "feature_cache_mb": 50,
        }
    )
    detector = EfficientAd(settings, (64, 64), seed=0)
    Training(
        detector,
        settings,
        train=texture(8, 1, defect=False),
        validation=texture(3, 2, defect=False),
        checkpoint=Checkpoint(tmp_path / "checkpoint", {}),
        device="cpu",
        workers=0,
        track=lambda items, what: items,
    ).run()
    good, bad = (
        detector.component_scores(detector.backbone.normalise(torch.from_numpy(texture(8, 3, defect=defect))))
        for defect in (False, True)
    )
    peaks = [maps[:, 0].amax(dim=(1, 2)) for maps in (good, bad)]
    assert (peaks[1][:, None] > peaks[0][None]).float().mean() > 0.8
