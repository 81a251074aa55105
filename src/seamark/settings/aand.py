"""Settings of the AAND detector."""

from typing import Literal

from pydantic import Field, model_validator

from seamark.settings.base import Settings
from seamark.settings.pyramid import PyramidSettings
from seamark.settings.synthesis import SynthesisSettings
from seamark.settings.training import Decay


class AmplifiedSynthesisSettings(SynthesisSettings):
    """Synthetic anomalies with AAND's defaults."""

    probability: float = Field(0.8, ge=0.0, le=1.0, description="share of samples that get an anomaly")
    foreground_tries: int = Field(
        11, ge=1, description="masks that are drawn, at most, until one meets the foreground in more than 4 px"
    )


Residual = Literal["tanh", "sigmoid", "free"]
"""How the network of the residual changes the features of a cell."""


class AmplificationSettings(Settings):
    """The amplification of anomalies in the teacher's features, and its training."""

    how: Literal["residual", "contrastive"] = Field(
        "residual",
        description="residual: added to the features of a frozen teacher; contrastive, of the paper's ablation: the "
        "teacher itself learns to tell anomalous cells from normal ones",
    )
    residual: Residual = Field(
        "tanh",
        description="features change by factors within -1..1 (tanh) or 0..1 (sigmoid) of themselves, or freely (free)",
    )
    gate: bool = Field(True, description="false, of the paper's ablation: the residual is added to every cell in full")
    epochs: int = Field(100, ge=1, description="passes over the training tiles, last incomplete batch dropped")
    max_steps: int | None = Field(None, ge=1, description="fewer steps than the epochs would give; null for no limit")
    memories: int = Field(50, ge=1, description="normal memories of the gate, and as many anomalous ones")
    temperature: float = Field(
        0.2,
        gt=0.0,
        description="parity: divides the gate's similarities, as in the released code; the paper has none, that is 1",
    )
    focal_alpha: float = Field(0.8, ge=0.0, le=1.0, description="weight of anomalous cells in the gate's loss")
    focal_gamma: float = Field(2.0, ge=0.0, description="exponent of the gate's focal loss")
    margin: float = Field(
        0.3, ge=0.0, le=2.0, description="what an anomalous cell's similarity to normal ones shall lose, at least"
    )
    weight: float = Field(
        0.1, ge=0.0, description="parity: weight of the amplification loss as in the released code; in the paper 1"
    )
    anomalous_cells: int = Field(1000, ge=1, description="anomalous cells of a batch in the loss, at most, per level")
    normal_cells: int = Field(5000, ge=1, description="normal cells of a batch in the loss, at most, per level")


class AandSettings(PyramidSettings):
    """AAND; the defaults are the paper's."""

    student_width: float = Field(
        1.0, gt=0.0, le=16.0, description="factor of the channels inside the student; narrow backbones want more than 1"
    )
    batch_size: int = Field(16, ge=1, description="tiles per step; never more than there are tiles")
    learning_rate: float = Field(0.005, gt=0.0, description="learning rate of both phases before it decays")
    adam_betas: tuple[Decay, Decay] = Field((0.5, 0.999), description="decay of both moments of both optimisers")
    decay_at: tuple[float, ...] = Field((0.8, 0.9), description="shares of a phase after which the learning rate falls")
    decay_factor: float = Field(0.2, gt=0.0, le=1.0, description="what the learning rate is multiplied with then")
    synthesis: AmplifiedSynthesisSettings = Field(
        default_factory=AmplifiedSynthesisSettings, description="synthetic anomalies, which only the amplification sees"
    )
    amplification: AmplificationSettings | None = Field(
        default_factory=AmplificationSettings,
        description="null: the teacher as it is, as in plain reverse distillation",
    )
    score: Literal["student", "gate"] = Field(
        "student",
        description="student: how far it is from the teacher; gate, of the paper's ablation: what the gates of all "
        "levels say; no student is trained",
    )
    epochs: int = Field(120, ge=1, description="passes of the distillation over the training tiles")
    max_steps: int | None = Field(
        None, ge=1, description="fewer steps of distillation than the epochs would give; null for no limit"
    )
    hard_cells: int = Field(
        10,
        ge=0,
        description="worst cells per tile and level with a loss of their own; 0 as in plain reverse distillation",
    )

    @model_validator(mode="after")
    def _decays_are_shares(self) -> "AandSettings":
        if any(not 0.0 < share <= 1.0 for share in self.decay_at):
            raise ValueError(f"decay_at {list(self.decay_at)}: expected shares of a phase within 0..1")
        return self

    @model_validator(mode="after")
    def _gates_that_score_exist(self) -> "AandSettings":
        gated = self.amplification is not None and self.amplification.gate and not self.contrastive
        if self.score == "gate" and not gated:
            raise ValueError("score gate needs a gate: amplification with how: residual and gate: true")
        return self

    @property
    def contrastive(self) -> bool:
        """Whether the teacher itself learns."""
        return self.amplification is not None and self.amplification.how == "contrastive"
