"""Closed forms of EfficientAD's losses, and where patches lie on the grid.

Source: docs/methods/efficientad.md#noise-patches and docs/methods/efficientad.md#losses.
"""

import numpy as np
import pytest
import torch
from torch.nn import functional

from seamark.detectors.efficientad.discrepancy import (
    ABNORMAL,
    IGNORED,
    NORMAL,
    collaborative_loss,
    direction_distances,
    hard_loss,
    touched_cells,
    window_pixels,
)

NORMALS, ABNORMALS = [1.0, 2.0, 3.0], [1.0, 3.0]


def collaborative(normal, abnormal, gamma=2.0, ignored=()):
    distances = torch.tensor([*normal, *abnormal, *ignored], requires_grad=True)
    labels = torch.tensor([NORMAL] * len(normal) + [ABNORMAL] * len(abnormal) + [IGNORED] * len(ignored))
    loss = collaborative_loss(distances, labels, gamma)
    loss.backward()
    return loss.item(), distances.grad


@pytest.mark.parametrize(
    ("normal", "abnormal", "gamma", "expected"),
    [
        (NORMALS, ABNORMALS, 2.0, 6 / 13),
        (NORMALS, [], 2.0, 18 / 7),
        ([], ABNORMALS, 2.0, -1.2),
        (NORMALS, ABNORMALS, 0.0, 0.4),
    ],
)
def test_collaborative_loss(normal, abnormal, gamma, expected):
    loss, gradient = collaborative(normal, abnormal, gamma)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert gradient.abs().sum().item() == pytest.approx(1.0, rel=1e-6)


def test_gradient_of_the_collaborative_loss():
    _, gradient = collaborative(NORMALS, ABNORMALS, ignored=[2.0])
    expected = torch.tensor([0.0314685, 0.1258741, 0.2832168, -0.5034965, -0.0559441, 0.0])
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("normal", "abnormal"), [([], []), ([0.0, 0.0], []), ([], [0.0]), ([0.0], [0.0]), ([4.0], [1e-9])]
)
def test_collaborative_loss_is_finite(normal, abnormal):
    loss, gradient = collaborative(normal, abnormal, ignored=[1.0])
    assert np.isfinite(loss)
    assert torch.isfinite(gradient).all()


def test_distances_are_those_of_directions():
    torch.manual_seed(0)
    teacher, student = torch.randn(1, 5, 3, 3), torch.randn(1, 5, 3, 3)
    scale = torch.rand(1, 1, 3, 3) + 0.5
    torch.testing.assert_close(direction_distances(teacher * scale, student), direction_distances(teacher, student))
    torch.testing.assert_close(direction_distances(teacher, student * scale), direction_distances(teacher, student))
    cosine = functional.cosine_similarity(teacher, student)
    torch.testing.assert_close(direction_distances(teacher, student), 2 - 2 * cosine)
    assert not direction_distances(teacher, teacher).any()
    torch.testing.assert_close(direction_distances(teacher, -teacher), torch.full((1, 3, 3), 4.0))
    assert torch.isfinite(direction_distances(torch.zeros(1, 5, 3, 3), student)).all()


def test_neither_teacher_nor_ignored_cells_take_a_gradient():
    torch.manual_seed(1)
    teacher, student = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2, requires_grad=True)
    labels = torch.tensor([[[NORMAL, ABNORMAL], [IGNORED, NORMAL]]])
    collaborative_loss(direction_distances(teacher, student), labels, 2.0).backward()
    assert teacher.grad is None
    assert not student.grad[..., 1, 0].any()
    assert student.grad[..., 0, 0].any()
    assert student.grad[..., 0, 1].any()


class TestHardLoss:
    def test_is_a_mean_of_1205_values_at_256_px(self):
        torch.manual_seed(2)
        teacher, student = torch.randn(1, 384, 56, 56), torch.zeros(1, 384, 56, 56)
        loss = hard_loss(teacher, student, 0.999)
        torch.testing.assert_close(loss, teacher.square().flatten().topk(1205).values.mean())
        assert loss.item() == pytest.approx(12.70, abs=0.4)

    def test_is_the_mean_above_the_quantile_of_each_image(self):
        torch.manual_seed(3)
        differences = torch.rand(2, 7, 5, 6, dtype=torch.float64)
        single = []
        for image in differences.square():
            bound = np.quantile(image.numpy(), 0.95)
            single.append(image[image >= bound].mean())
        torch.testing.assert_close(
            hard_loss(differences, torch.zeros_like(differences), 0.95), torch.stack(single).mean()
        )

    def test_share_0_is_the_mean_of_all(self):
        torch.manual_seed(4)
        teacher, student = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
        torch.testing.assert_close(hard_loss(teacher, student, 0.0), functional.mse_loss(student, teacher))

    def test_of_a_constant_is_its_square(self):
        assert hard_loss(torch.full((1, 3, 4, 4), 3.0), torch.zeros(1, 3, 4, 4), 0.99).item() == 9.0


class TestTouchedCells:
    def test_a_pixel_in_the_middle_of_a_cell_makes_it_abnormal(self):
        mask = np.zeros((256, 256), np.bool_)
        mask[4 * 10 + 16, 4 * 20 + 16] = True
        cells = touched_cells(mask, "ignored")
        assert np.argwhere(cells.labels == ABNORMAL).tolist() == [[10, 20]]
        rows, columns = np.nonzero(cells.labels == IGNORED)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 14, 16, 24)
        assert len(rows) == 9 * 9 - 1
        assert cells.windows == ((6, 15, 16, 25),)
        assert touched_cells(mask, "normal").labels.sum() == ABNORMAL

    def test_a_mask_resized_to_the_grid_would_be_elsewhere(self):
        mask = np.zeros((256, 256), np.bool_)
        mask[0:8, 0:8] = True
        naive = mask[:: 256 // 56, :: 256 // 56][:56, :56]
        labels = touched_cells(mask, "ignored").labels
        assert naive.any()
        assert not (labels == ABNORMAL).any()
        assert (labels[:2, :2] == IGNORED).all()

    def test_what_no_cell_sees_touches_nothing(self):
        mask = np.zeros((256, 256), np.bool_)
        mask[253:, :] = True
        cells = touched_cells(mask, "ignored")
        assert not cells.labels.any()
        assert cells.windows == ()

    def test_windows_of_a_patch_are_where_it_is_seen(self):
        mask = np.zeros((128, 192), np.bool_)
        mask[50:61, 90:110] = True
        top, bottom, left, right = touched_cells(mask, "ignored").windows[0]
        assert (top, bottom - 1) == (-(-(50 - 32) // 4), 60 // 4)
        assert (left, right - 1) == (-(-(90 - 32) // 4), min(109 // 4, 39))
        assert window_pixels((top, bottom, left, right)) == (slice(20, 93), slice(60, 141))


def test_toy_optimisation_parts_normal_from_abnormal_cells():
    torch.manual_seed(5)
    teacher = torch.randn(1, 16, 8, 8)
    student = torch.randn(1, 16, 8, 8, requires_grad=True)
    labels = torch.full((1, 8, 8), NORMAL)
    labels[:, 2:4, 2:4] = ABNORMAL
    optimiser = torch.optim.Adam([student], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        collaborative_loss(direction_distances(teacher, student), labels, 2.0).backward()
        optimiser.step()
    distances = direction_distances(teacher, student.detach())
    assert distances[labels == ABNORMAL].mean() > distances[labels == NORMAL].mean() + 1.0
