"""Settings of the fuse stage."""

from typing import Literal

from pydantic import Field, model_validator

from seamark.settings.base import Settings


class FuseSettings(Settings):
    """How the anomaly maps of several detectors become one."""

    members: tuple[str, ...] = Field(
        ("inp_former",),
        min_length=1,
        description="names of blocks that are trained and whose maps are fused; a detector without one takes its "
        "preset's",
    )
    weights: dict[str, float] = Field(
        default_factory=dict, description="weight of a member in the fused map; 1 for members that are not named"
    )
    normalise: Literal["none", "validation_z", "validation_tails"] = Field(
        "validation_z",
        description="scale of each member from its validation maps; validation_z: pooled mean 0, std 1; "
        "validation_tails: medians over photographs of their median 0, of their 0.99 quantile 1",
    )
    level_borders: bool = Field(
        False, description="take off each member's maps what its validation maps rise towards the picture's border"
    )
    how: Literal["mean", "max"] = Field("mean", description="weighted mean or weighted maximum of the members")

    @property
    def rescales(self) -> bool:
        """Whether fused maps lie on another scale than those of the members."""
        return self.level_borders or self.scales

    @property
    def scales(self) -> bool:
        """Whether the scores of members are brought to a common scale; a single member's are not."""
        return len(self.members) > 1 and self.normalise != "none"

    @property
    def refers(self) -> bool:
        """Whether the maps of a single member stay as they are and are referred to."""
        return len(self.members) == 1 and not self.level_borders

    @property
    def layers(self) -> bool:
        """Whether each score of a fused map is that of one of several members."""
        return len(self.members) > 1 and self.how == "max"

    def weight(self, member: str) -> float:
        """Return the weight of one member."""
        return self.weights.get(member, 1.0)

    @model_validator(mode="after")
    def _members_and_weights_agree(self) -> "FuseSettings":
        if len(set(self.members)) != len(self.members):
            raise ValueError(f"members {list(self.members)}: none may be listed twice")
        for name, weight in self.weights.items():
            if not 0.0 < weight < float("inf"):
                raise ValueError(
                    f"weights.{name} is {weight}; it must be a positive number (leave it out of members for 0)"
                )
        return self
