"""Manifest of the evaluate stage."""

from seamark.manifests.base import Manifest, Record
from seamark.settings.base import Split


class MaskScores(Record):
    """How well binary masks agree with the truth; None where it is undefined (no defect and nothing predicted)."""

    seg_f1: float | None
    """Pixels of all images pooled, then one F1."""
    class_f1: float | None
    """Image F1; an image counts as anomalous when any pixel is foreground."""
    true_positive_px: int
    false_positive_px: int
    false_negative_px: int


class SubsetScores(Record):
    """Scores of one split, or of one light condition of it."""

    split: Split
    light: str
    """``all`` for the whole split."""
    images: int
    bad_images: int
    auc_pro: float | None
    """Area under the per-region overlap up to ``fpr_limit``, divided by it; None without defects."""
    pixel_auroc: float | None
    image_auroc: float | None
    """With the maximum of the map as image score."""
    class_f1_floor: float | None
    """ClassF1 of calling every image anomalous."""
    coarse: MaskScores
    refined: MaskScores


class ImageScores(Record):
    """Scores of one image."""

    split: Split
    id: str
    light: str
    bad: bool
    defect_px: int
    peak: float
    """Maximum of the anomaly map."""
    coarse_f1: float | None
    refined_f1: float | None
    refined_false_positive_px: int
    refined_false_negative_px: int


class EvaluationManifest(Manifest):
    """Scores of one category on every split whose truth is known."""

    category: str
    detector: str
    fpr_limit: float
    subsets: tuple[SubsetScores, ...]
    images: tuple[ImageScores, ...]
