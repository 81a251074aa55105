"""The errors that Seamark raises on bad input; each message names what, where, and what to do next."""


class SeamarkError(ValueError):
    """Base of every error that is the input's fault and not the program's."""


class ConfigError(SeamarkError):
    """The configuration is not valid."""


class DataError(SeamarkError):
    """An image, a mask or a data folder is not what it should be."""


class ManifestError(SeamarkError):
    """An artifact of an earlier stage is missing, damaged or does not match its manifest."""


class DiskFullError(SeamarkError, OSError):
    """A file does not fit on its disk."""


class WeightsError(SeamarkError):
    """Pretrained weights are missing or are not the weights that were asked for."""


class TrainingError(SeamarkError):
    """Training cannot go on, for example because a loss is no longer finite."""


class SubmissionError(SeamarkError):
    """A submission breaks a rule of the benchmark server."""
