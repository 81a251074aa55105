"""Settings of the refine stage."""

from typing import Literal

from pydantic import Field, model_validator

from seamark.settings.base import PathText, Settings
from seamark.settings.binarize import BinarizeSettings
from seamark.settings.merge import MergeSettings


class GrabCutSettings(Settings):
    """GrabCut on a native-scale crop around each box prompt."""

    margin: float = Field(0.5, ge=0.05, le=4.0, description="crop margin around the box as a share of its longer side")
    margin_min_px: int = Field(16, ge=1, le=512, description="smallest crop margin in image pixels")
    iterations: int = Field(3, ge=1, le=20, description="GrabCut iterations per component")
    crop_max_px: int = Field(
        320, ge=64, le=4096, description="crops with a longer side are shrunk to this before GrabCut"
    )


class GuidedSettings(Settings):
    """Guided filter of the anomaly map by the grey values of the photograph (He, Sun and Tang 2010)."""

    radius_px: int = Field(8, ge=1, le=64, description="radius of the filter's square windows in image pixels")
    epsilon: float = Field(
        0.001, gt=0.0, le=1.0, description="variance of grey values, 0 to 1, up to which texture is smoothed over"
    )


class SamSettings(Settings):
    """Segment Anything, prompted with boxes (docs/methods/robis.md#sam-refinement)."""

    model: Literal["vit_b", "vit_l", "vit_h"] = Field(
        "vit_b", description="size of the image encoder; RoBiS takes vit_b for test_private_mixed and vit_h otherwise"
    )
    weights: PathText = Field(
        "pretrained", description="pretrained (torch's download cache), download, random (tests) or the path of a file"
    )
    masks: Literal["single", "best_of_three", "union_of_three"] = Field(
        "single",
        description="single: one mask per box; of three: the best by predicted IoU, or all (RoBiS: fabric, walnuts)",
    )
    prompt_on: Literal["image", "crops"] = Field(
        "image", description="image: embed the whole image once; crops: a native-scale crop around each component"
    )
    crop_margin: float = Field(
        0.5, ge=0.0, le=4.0, description="crop margin around the box as a share of its longer side"
    )
    crop_min_px: int = Field(
        1024, ge=64, le=8192, description="shortest side of a crop in image pixels; SAM sees 1024 at native scale"
    )
    image_scale: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description="parity: 0.25 shows SAM the image at merge.scale 0.25, for masks made at: map; null: native",
    )
    channel_order: Literal["rgb", "bgr"] = Field(
        "rgb", description="parity: the released code hands BGR to SAM, which expects RGB"
    )
    boxes_per_batch: int = Field(
        16, ge=1, le=256, description="boxes per pass of the mask decoder on a GPU; on the CPU it is always one"
    )

    @model_validator(mode="after")
    def _crops_are_native(self) -> "SamSettings":
        if self.prompt_on == "crops" and self.image_scale is not None:
            raise ValueError("prompt_on crops works at native scale: set image_scale to null or prompt_on to image")
        return self


class RefineSettings(Settings):
    """How coarse masks are refined with the image at hand."""

    method: Literal["none", "grabcut", "guided", "sam"] = Field(
        "grabcut", description="segmenter that is prompted with one box per component"
    )
    accept: Literal["evidence", "always"] = Field(
        "evidence",
        description="evidence: a component stays coarse where the anomaly map speaks against what was found; "
        "parity: always takes what was found",
    )
    compose: Literal["replace", "union", "constrained"] = Field(
        "constrained",
        description="replace: segmenter's mask alone; union: with the coarse mask; constrained: near the coarse mask",
    )
    constrain_px: int = Field(
        9, ge=0, le=255, description="how far a constrained mask may reach beyond the coarse one, in image pixels"
    )
    nothing_found: Literal["coarse", "empty"] = Field(
        "coarse",
        description="coarse keeps a component in which nothing is found; parity: empty drops it as the released code",
    )
    top_n: int | None = Field(
        None,
        ge=1,
        description="refine only the largest n components (RoBiS: 3), null for all; others stay, vanish with replace",
    )
    fill_holes: bool = Field(True, description="fill holes of the refined mask")
    grabcut: GrabCutSettings = Field(default_factory=GrabCutSettings)
    guided: GuidedSettings = Field(default_factory=GuidedSettings)
    sam: SamSettings = Field(default_factory=SamSettings)

    def refusal(self, merge: MergeSettings, binarize: BinarizeSettings) -> str | None:
        """Say why masks that are made in this way cannot be refined, None if they can."""
        scale = self.sam.image_scale
        if self.method != "sam" or scale is None or (merge.scale == scale and binarize.at == "map"):
            return None
        return (
            f"refine.sam.image_scale {scale:g} needs masks of that scale: set binarize.at to map and merge.scale to "
            f"{scale:g}, which are {binarize.at} and {merge.scale:g}, or refine.sam.image_scale to null"
        )

    @property
    def stated_method(self) -> str:
        """The method with what a reader of the masks must know about it."""
        if self.method != "sam":
            return self.method
        return f"sam {self.sam.model}" + (" with random weights" if self.sam.weights == "random" else "")
