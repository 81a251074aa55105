"""Settings of the fuse stage."""

from typing import Literal

from pydantic import Field, field_validator

from seamark.settings.base import Settings


class FuseSettings(Settings):
    """How the anomaly maps of several detectors become one."""

    members: dict[str, float] = Field(
        default_factory=lambda: {"inp_former": 1.0},
        min_length=1,
        description="weight of each detector in the fused map",
    )
    normalise: Literal["none", "validation_z"] = Field(
        "validation_z", description="validation_z: subtract mean, divide by std of the validation maps, per detector"
    )
    how: Literal["mean", "max"] = Field("mean", description="weighted mean or weighted maximum of the members")

    @field_validator("members")
    @classmethod
    def _positive(cls, members: dict[str, float]) -> dict[str, float]:
        for name, weight in members.items():
            if not 0.0 < weight < float("inf"):
                raise ValueError(
                    f"weight of {name} is {weight}; it must be a positive number (leave the member out for 0)"
                )
        return members
