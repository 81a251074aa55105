"""Settings of the INP-Former detector."""

from pydantic import Field, model_validator

from seamark.errors import ConfigError
from seamark.settings.augmentation import AugmentationSettings
from seamark.settings.training import DetectorSettings

HEAD_SIZE = 64


class InpFormerSettings(DetectorSettings):
    """INP-Former; the defaults are the paper's, as RoBiS trains it."""

    prototypes: int = Field(6, ge=1, description="intrinsic normal prototypes per tile")
    decoder_blocks: int = Field(8, ge=1, description="INP-guided decoder blocks; a multiple of the number of groups")
    heads: int | None = Field(None, ge=1, description="attention heads; null: head size 64, or the nearest divisor")
    groups: tuple[tuple[int, ...], ...] | None = Field(
        None, min_length=1, description="positions in layers that form each reconstruction target; null: two halves"
    )
    epochs: int = Field(200, ge=1, description="passes over the training tiles, last incomplete batch dropped")
    max_steps: int | None = Field(None, ge=1, description="fewer steps than the epochs would give; null for no limit")
    batch_size: int = Field(16, ge=1, description="tiles per step; never more than there are tiles")
    token_share: float = Field(
        1.0, gt=0.0, le=1.0, description="share of each tile's tokens that the decoder reconstructs in a training step"
    )
    outlier_share: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="largest share of a tile's tokens that become noise before its prototypes are drawn in a training "
        "step, so that they bear a defect; 0 as in the paper",
    )
    learning_rate: float = Field(1e-3, gt=0.0, description="highest learning rate")
    final_learning_rate: float = Field(1e-4, ge=0.0, description="learning rate at the end of the cosine")
    warmup_steps: int = Field(100, ge=0, description="steps of linear warm-up, the first with learning rate 0")
    weight_decay: float = Field(1e-4, ge=0.0, description="decoupled weight decay on every parameter")
    gradient_clip: float = Field(0.1, gt=0.0, description="largest L2 norm of the gradient of all parameters")
    coherence_weight: float = Field(0.2, ge=0.0, description="weight of the INP coherence loss")
    mining_gamma: float = Field(3.0, ge=0.0, description="exponent of the soft mining of hard tokens; 0 for none")
    factored_scoring: bool = Field(
        True, description="score with the weights multiplied out along the prototypes: faster, the same up to rounding"
    )
    augmentation: AugmentationSettings = Field(default_factory=AugmentationSettings)

    def head_count(self, dim: int) -> int:
        """Return the attention heads for a width: as set, or the divisor that brings the head size nearest to 64.

        Raises
        ------
        ConfigError
            If the set number does not divide the width.
        """
        if self.heads is None:
            divisors = [count for count in range(1, dim + 1) if dim % count == 0]
            return min(divisors, key=lambda count: max(dim / count / HEAD_SIZE, HEAD_SIZE * count / dim))
        if dim % self.heads:
            raise ConfigError(f"heads {self.heads} does not divide the backbone's width {dim}; leave it null")
        return self.heads

    def token_groups(self, layers: int) -> tuple[tuple[int, ...], ...]:
        """Return which of so many layers form each reconstruction target: as set, or the shallow and the deep half.

        Raises
        ------
        ConfigError
            If a group names a layer that there is not, or the groups do not share the decoder blocks evenly.
        """
        half = layers // 2
        halves = (tuple(range(half)), tuple(range(half, layers))) if half else ((0,),)
        groups = halves if self.groups is None else self.groups
        if max(max(group) for group in groups) >= layers:
            raise ConfigError(
                f"groups {[list(group) for group in groups]}: the backbone gives {layers} layers, so positions are "
                f"within 0..{layers - 1}; leave it null for two halves"
            )
        if self.decoder_blocks % len(groups):
            raise ConfigError(f"decoder_blocks {self.decoder_blocks} is not a multiple of the {len(groups)} groups")
        return groups

    @model_validator(mode="after")
    def _groups_divide_blocks(self) -> "InpFormerSettings":
        if self.groups is not None and self.decoder_blocks % len(self.groups):
            raise ValueError(f"decoder_blocks {self.decoder_blocks} is not a multiple of the {len(self.groups)} groups")
        if self.groups is not None and any(not group or min(group) < 0 for group in self.groups):
            raise ValueError(f"groups {self.groups}: each needs at least one position, counted from 0")
        return self
