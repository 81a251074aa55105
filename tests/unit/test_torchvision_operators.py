"""The stand-in for torchvision's compiled operators."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seamark.networks.torchvision_operators import declare_torchvision_operators, non_maximum_suppression

SOURCE = Path(__file__).parents[2] / "src"


def in_new_process(code):
    program = f"import sys\nsys.path.insert(0, {str(SOURCE)!r})\n{code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def overlap(a, b):
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def kept_one_by_one(boxes, scores, threshold):
    kept = []
    for index in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(overlap(boxes[index], boxes[other]) <= threshold for other in kept):
            kept.append(index)
    return kept


def test_the_better_of_two_overlapping_boxes_stays():
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]])
    assert non_maximum_suppression(boxes, torch.tensor([0.5, 0.9, 0.7]), 0.5).tolist() == [1, 2]


def test_an_overlap_equal_to_the_threshold_is_kept():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]])
    assert non_maximum_suppression(boxes, torch.tensor([1.0, 0.5]), 0.5).tolist() == [0, 1]


def test_no_boxes():
    kept = non_maximum_suppression(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert kept.shape == (0,)
    assert kept.dtype == torch.int64


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
def test_it_agrees_with_the_definition(threshold):
    generator = torch.Generator().manual_seed(3)
    corners = torch.randint(0, 40, (60, 2), generator=generator).float()
    boxes = torch.cat([corners, corners + torch.randint(1, 20, (60, 2), generator=generator)], dim=1)
    scores = torch.randperm(60, generator=generator) / 60
    expected = kept_one_by_one(boxes.tolist(), scores.tolist(), threshold)
    assert non_maximum_suppression(boxes, scores, threshold).tolist() == expected


def test_torchvision_timm_and_segment_anything_work_after_the_declaration():
    printed = in_new_process(
        "from seamark.networks.torchvision_operators import declare_torchvision_operators as declare\n"
        "declare(); declare()\n"
        "import timm, torch, torchvision, segment_anything\n"
        "boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]])\n"
        "print(*torchvision.ops.nms(boxes, torch.tensor([0.1, 0.2]), 0.5).tolist())"
    )
    assert printed == ["1"]


def test_nothing_is_declared_where_the_compiled_operators_load():
    printed = in_new_process(
        "from seamark.networks import torchvision_operators as operators\n"
        "operators._compiled_operators_load = lambda: True\n"
        "operators.declare_torchvision_operators()\n"
        "print(len(operators._libraries), 'torchvision' in sys.modules)"
    )
    assert printed == ["0", "False"]


def test_batched_suppression_of_torchvision_uses_it():
    declare_torchvision_operators()
    from torchvision.ops import batched_nms  # noqa: PLC0415  (needs the declaration first)

    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]])
    kept = batched_nms(boxes, torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0, 0, 1]), 0.5)
    assert kept.tolist() == [2, 1]
