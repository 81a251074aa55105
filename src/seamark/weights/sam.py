"""The published weights of Segment Anything; planning looks for them too, so torch is not imported.

Source: RoBiS specification section F for names, lengths and beginnings of the digests.
"""

from seamark.weights.finding import WeightsSource


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
"""File of weights by the name of the model."""
