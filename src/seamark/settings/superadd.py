"""Settings of the superadd detector."""

from typing import Literal, Self

from pydantic import Field, model_validator

from seamark.settings.training import DetectorSettings


class SuperAddSettings(DetectorSettings):
    """A bank of features for each layer, thinned where they lie close together; distances are not normalised."""

    autocast: Literal["none"] = Field(
        "none", description="none: float32; distances of features that are not normalised are lost in less"
    )
    bank_size: int = Field(100_000, ge=2, description="vectors kept in the bank of each layer")
    rounds: int = Field(
        100, ge=1, le=1000, description="draws that are thinned one by one, each of its share of all vectors"
    )
    neighbours: int = Field(
        100, ge=1, le=1000, description="nearest vectors of a draw, itself among them, that say how close it lies"
    )
    memory_limit_mb: int = Field(
        8192,
        ge=16,
        description="memory for vectors that are drawn together; the less, the more often photographs go through the "
        "backbone, and the result is the same",
    )

    @model_validator(mode="after")
    def _a_vector_of_each_round(self) -> Self:
        if self.bank_size < self.rounds:
            raise ValueError(
                f"bank_size {self.bank_size} gives no vector to each of rounds {self.rounds}; raise it, or lower rounds"
            )
        return self
