"""StableAdamW and the learning rate schedule against hand-computed numbers (N-8, N-9)."""

import copy

import pytest
import torch

from seamark.detectors.inp_former.stable_adamw import StableAdamW
from seamark.learning.phases import warmup_cosine


def run(gradients, start=0.0, weight_decay=0.0):
    parameter = torch.nn.Parameter(torch.full((4,), start))
    optimiser = StableAdamW([parameter], lr=1e-3, weight_decay=weight_decay)
    path = []
    for gradient in gradients:
        parameter.grad = torch.as_tensor(gradient, dtype=torch.float32).expand(4).clone()
        optimiser.step()
        path.append(parameter.detach().clone())
    return path


def test_n8_first_step_has_the_size_of_the_rate():
    (after,) = run([[1.0, 2.0, -3.0, 4.0]])
    torch.testing.assert_close(after, -1e-3 * torch.tensor([1.0, 1.0, -1.0, 1.0]))


def test_n8_constant_gradient():
    path = run([1.0, 1.0, 1.0])
    assert [float(after[0]) for after in path] == pytest.approx([-0.001, -0.002, -0.003], rel=1e-5)


def test_n8_sudden_gradient_is_damped():
    path = run([1.0, 10.0])
    assert [float(after[0]) for after in path] == pytest.approx([-0.001, -0.00157368], rel=1e-5)


def test_n8_decay_without_gradient():
    (after,) = run([0.0], start=1.0, weight_decay=1e-4)
    assert float(after[0]) == pytest.approx(0.9999999, abs=3e-8)


def test_state_survives_saving():
    parameter = torch.nn.Parameter(torch.zeros(4))
    other = torch.nn.Parameter(torch.zeros(4))
    first, second = StableAdamW([parameter]), StableAdamW([other])
    for gradient in (1.0, 10.0):
        parameter.grad = torch.full((4,), gradient)
        first.step()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    other.data.copy_(parameter.data)
    for optimiser, tensor in ((first, parameter), (second, other)):
        tensor.grad = torch.full((4,), -2.0)
        optimiser.step()
    assert torch.equal(parameter, other)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.0),
        (1, 1.010101e-5),
        (50, 5.050505e-4),
        (99, 1e-3),
        (100, 1e-3),
        (325, 8.68198e-4),
        (550, 5.5e-4),
        (775, 2.31802e-4),
        (999, 1.0000274e-4),
        (1000, 1e-4),
        (5000, 1e-4),
    ],
)
def test_n9_schedule(step, rate):
    assert warmup_cosine(step, 1000, 100, 1e-3, 1e-4) == pytest.approx(rate, rel=1e-6, abs=1e-15)


def test_schedule_shorter_than_its_warmup_ends_at_the_highest_rate():
    assert [warmup_cosine(step, 3, 100, 1e-3, 1e-4) for step in range(4)] == pytest.approx([0.0, 5e-4, 1e-3, 1e-4])
