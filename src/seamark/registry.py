"""The detectors by name; rows are text, so that planning a run imports no detector."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DetectorEntry:
    """Where a detector and its settings are, each as ``module:Class``, and which preset has its block."""

    target: str
    settings: str
    preset: str = ""
    """Name of the preset with its block, if that is not its own name."""

    @property
    def module(self) -> str:
        """Name of the module that holds the detector."""
        return self.target.partition(":")[0]


DETECTORS: dict[str, DetectorEntry] = {
    "inp_former": DetectorEntry(
        "seamark.detectors.inp_former.detector:InpFormer", "seamark.settings.inp_former:InpFormerSettings"
    ),
    "feature_bank": DetectorEntry(
        "seamark.detectors.feature_bank:FeatureBank", "seamark.settings.feature_bank:FeatureBankSettings"
    ),
    "superadd": DetectorEntry(
        "seamark.detectors.superadd.detector:SuperAdd",
        "seamark.settings.superadd:SuperAddSettings",
        preset="superadd_repaired",
    ),
    "urd": DetectorEntry("seamark.detectors.urd.detector:Urd", "seamark.settings.urd:UrdSettings"),
    "aurd": DetectorEntry("seamark.detectors.urd.aurd:Aurd", "seamark.settings.aurd:AurdSettings"),
    "aand": DetectorEntry("seamark.detectors.aand.detector:Aand", "seamark.settings.aand:AandSettings"),
    "pfadseg": DetectorEntry("seamark.detectors.pfadseg.detector:Pfadseg", "seamark.settings.pfadseg:PfadsegSettings"),
    "efficientad": DetectorEntry(
        "seamark.detectors.efficientad.detector:EfficientAd",
        "seamark.settings.efficientad:EfficientAdSettings",
        preset="efficientad_cdo",
    ),
    "constant": DetectorEntry("seamark.detectors.constant:Constant", "seamark.settings.constant:ConstantSettings"),
}
