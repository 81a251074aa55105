"""Settings of the evaluate stage."""

from pydantic import Field

from seamark.settings.base import Settings


class EvaluateSettings(Settings):
    """Which figures are computed against the known truth."""

    fpr_limit: float = Field(0.05, gt=0.0, le=1.0, description="false-positive rate up to which AucPro is integrated")
    iap_recall: float = Field(
        0.9, gt=0.0, le=1.0, description="share of the defects at which the precision IAP@k is read off"
    )
    resamples: int = Field(
        1000, ge=0, le=100_000, description="resamples of the images behind the 95 % intervals; 0: no intervals"
    )
