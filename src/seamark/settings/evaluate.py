"""Settings of the evaluate stage."""

from pydantic import Field

from seamark.settings.base import Settings


class EvaluateSettings(Settings):
    """Which figures are computed against the known truth."""

    fpr_limit: float = Field(0.05, gt=0.0, le=1.0, description="false-positive rate up to which AucPro is integrated")
