"""Losses of URD's teacher and student (docs/methods/urd.md#cosine-distances and docs/methods/urd.md#losses)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from seamark.detectors.feature_distances import cell_distances


def image_distances(first: Sequence[Tensor], second: Sequence[Tensor]) -> list[Tensor]:
    """Return 1 - cosine of each level, all its cells and channels taken as one vector.

    Parameters
    ----------
    first, second : sequence of Tensor, shape (B, C_l, H_l, W_l)
        Two pyramids.

    Returns
    -------
    list of Tensor, shape (B,)
        0..2 (docs/methods/urd.md#cosine-distances).
    """
    return [
        1.0 - F.cosine_similarity(one.flatten(1), other.flatten(1), dim=1)
        for one, other in zip(first, second, strict=True)
    ]


def teacher_losses(
    clean: Sequence[Tensor],
    anomalous: Sequence[Tensor],
    expert_clean: Sequence[Tensor],
    expert_anomalous: Sequence[Tensor],
    masks: Sequence[Tensor],
) -> dict[str, Tensor]:
    """Return the three losses that teach the teacher to see anomalies which the expert does not mark.

    Parameters
    ----------
    clean, anomalous : sequence of Tensor, shape (B, C_l, H_l, W_l)
        Teacher's features of clean images and of the same images with anomalies.
    expert_clean, expert_anomalous : sequence of Tensor, shape (B, C_l, H_l, W_l)
        Expert's features of the same.
    masks : sequence of Tensor, shape (B, H_l, W_l)
        1 in anomalous cells, 0 elsewhere.

    Returns
    -------
    dict of str to Tensor
        ``teacher_normal``: clean images as the expert sees them; ``teacher_anomaly``: normal cells of anomalous images
        as the expert sees the clean image, anomalous cells orthogonal to it; ``teacher_whole``: anomalous images as the
        expert sees them, as a whole. Sums over levels, means over the batch (docs/methods/urd.md#losses).
    """
    normal = torch.stack([level.mean() for level in cell_distances(clean, expert_clean)]).sum()
    marked = zip(cell_distances(anomalous, expert_clean), masks, strict=True)
    anomaly = torch.stack([(level - mask).abs().mean() for level, mask in marked]).sum()
    whole = torch.stack([level.mean() for level in image_distances(anomalous, expert_anomalous)]).sum()
    return {"teacher_normal": normal, "teacher_anomaly": anomaly, "teacher_whole": whole}


def student_loss(
    clean: Sequence[Tensor], anomalous: Sequence[Tensor], teacher: Sequence[Tensor], expert: Sequence[Tensor]
) -> Tensor:
    """Return how far the student is, on clean and anomalous images alike, from teacher and expert on the clean ones.

    Both targets of a level are added after scaling to length one, because the sum of two cosines is one inner product
    (docs/methods/urd.md#losses).

    Parameters
    ----------
    clean, anomalous : sequence of Tensor, shape (B, C_l, H_l, W_l)
        Student's features of clean images and of the same images with anomalies.
    teacher, expert : sequence of Tensor, shape (B, C_l, H_l, W_l)
        Features of the clean images.

    Returns
    -------
    Tensor, scalar
        0..24 for three levels.
    """
    targets = [_direction(one) + _direction(other) for one, other in zip(teacher, expert, strict=True)]
    losses = [
        (2.0 - (_direction(level) * target).sum(dim=1)).mean()
        for rebuilt in (clean, anomalous)
        for level, target in zip(rebuilt, targets, strict=True)
    ]
    return torch.stack(losses).sum()


def _direction(level: Tensor) -> Tensor:
    """Return (B, C * H * W) of length one."""
    return F.normalize(level.flatten(1))
