"""Settings of the URD detector."""

from typing import Literal

from pydantic import Field

from seamark.settings.anomalous_pairs import EarlyStopSettings
from seamark.settings.pyramid import PyramidSettings
from seamark.settings.synthesis import SynthesisSettings
from seamark.settings.training import Decay

InjectionMode = Literal["similarity", "concat", "none"]
"""How the teacher's features get into the student's decoder."""


class UrdSettings(PyramidSettings):
    """URD; the defaults are the paper's for MVTec AD."""

    gii_mode: InjectionMode = Field(
        "similarity",
        description="parity: similarity as the paper describes it; concat: without the gate, as the released script "
        "trains it; none: no injection",
    )
    student_width: float = Field(
        1.0, gt=0.0, le=16.0, description="factor of the channels inside the student; narrow backbones want more than 1"
    )
    steps: int = Field(5000, ge=1, description="training steps; 10000 for large or varied categories")
    batch_size: int = Field(16, ge=1, description="tiles per step; never more than there are tiles")
    student_learning_rate: float = Field(0.005, gt=0.0, description="constant learning rate of the student")
    teacher_learning_rate: float = Field(0.0001, gt=0.0, description="constant learning rate of the teacher")
    adam_betas: tuple[Decay, Decay] = Field((0.5, 0.999), description="decay of both moments of both optimisers")
    synthesis: SynthesisSettings = Field(default_factory=SynthesisSettings)
    early_stop: EarlyStopSettings | None = Field(
        default_factory=lambda: EarlyStopSettings(patience=20),
        description="parity: the released code keeps the best epoch on test images; null: keep the last step",
    )
