"""Images that are evaluated: those of the test splits whose truth is known as a whole, each with all its files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from seamark.errors import DataError, ManifestError
from seamark.manifests.index import ImageRecord, IndexManifest, TruthManifest, TruthRecord
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.manifests.masks import MaskRecord, MasksManifest
from seamark.manifests.verdict import Answer, ImageVerdict, VerdictManifest
from seamark.settings.base import Split

TEST_SPLITS: tuple[Split, ...] = ("test_public", "test_private", "test_private_mixed")
"""Splits that can hold defects, in the order in which they are reported."""


AnyListed = TypeVar("AnyListed", MapRecord, MaskRecord, ImageVerdict)


@dataclass(frozen=True)
class EvaluatedImage:
    """The files of one image whose truth is known."""

    id: str
    image: ImageRecord
    photograph: Path
    maps: Path
    anomaly_map: MapRecord
    coarse: Path
    refined: Path
    truth: TruthRecord
    truth_file: Path | None
    answer: Answer


def images_to_evaluate(
    indexes: Sequence[IndexManifest],
    truths: Sequence[TruthManifest],
    maps: Mapping[Path, MapsManifest],
    coarse: Mapping[Path, MasksManifest],
    refined: Mapping[Path, MasksManifest],
    *,
    verdicts: Mapping[Path, VerdictManifest],
    data_root: Path,
    truth_root: Path | None,
) -> list[EvaluatedImage]:
    """List the images of every test split whose truth is known, in the order of :data:`TEST_SPLITS` and of the index.

    Parameters
    ----------
    indexes, truths : sequence of IndexManifest, of TruthManifest
        Of one category, one for each test split.
    maps, coarse, refined, verdicts : mapping of Path to manifest
        One manifest per split, keyed by where it lies; other splits than the test splits are passed over.
    data_root, truth_root : Path
        What the paths of the index and of the truth are relative to.

    Raises
    ------
    DataError
        If the truth of a split is known for some of its images only, or lies below a truth root that is not configured.
    ManifestError
        If a split has a map manifest but no masks or no verdicts, or one of them lacks an image.
    """
    by_split = {manifest.split: path for path, manifest in maps.items()}
    indexed = {index.split: index for index in indexes}
    known_truth = {truth.split: truth for truth in truths}
    listed: list[EvaluatedImage] = []
    for split in TEST_SPLITS:
        if split not in by_split or split not in known_truth or not known_truth[split].images:
            continue
        known, category, images = known_truth[split].by_id, indexed[split].category, indexed[split].images
        _require_whole_truth(category, split, images, known)
        records = _by_id(by_split[split], maps[by_split[split]].maps, images)
        coarse_files = _mask_files(coarse, split, images, category, "coarse")
        refined_files = _mask_files(refined, split, images, category, "refined")
        judged = _verdicts(verdicts, split, images, category)
        listed += [
            EvaluatedImage(
                id=f"{split}/{image.id}",
                image=image,
                photograph=data_root / image.file,
                maps=by_split[split],
                anomaly_map=records[image.id],
                coarse=coarse_files[image.id],
                refined=refined_files[image.id],
                truth=known[image.id],
                truth_file=_truth_file(known[image.id], data_root, truth_root),
                answer=judged[image.id].answer,
            )
            for image in images
        ]
    return listed


def _require_whole_truth(
    category: str, split: Split, images: Sequence[ImageRecord], known: Mapping[str, TruthRecord]
) -> None:
    missing = [image.id for image in images if image.id not in known]
    if missing:
        raise DataError(
            f"{category} {split}: the truth is known for {len(known)} of {len(images)} images; missing: "
            f"{', '.join(missing)}. Add these masks, or leave out the truth of the split; "
            "scores over a part of it would not be comparable"
        )


def _by_id(manifest: Path, records: Sequence[AnyListed], images: Sequence[ImageRecord]) -> dict[str, AnyListed]:
    listed = {record.id: record for record in records}
    missing = [image.id for image in images if image.id not in listed]
    if missing:
        raise ManifestError(
            f"{manifest}: lacks {len(missing)} of {len(images)} images of the index, first {missing[0]}; "
            "rebuild the stage that wrote it"
        )
    return listed


def _mask_files(
    manifests: Mapping[Path, MasksManifest], split: Split, images: Sequence[ImageRecord], category: str, stage: str
) -> dict[str, Path]:
    for path, manifest in manifests.items():
        if manifest.split == split:
            return {name: path.parent / mask.file for name, mask in _by_id(path, manifest.masks, images).items()}
    raise ManifestError(
        f"{category} {split}: there are maps but no {stage} masks; build the {stage} masks of the split"
    )


def _verdicts(
    manifests: Mapping[Path, VerdictManifest], split: Split, images: Sequence[ImageRecord], category: str
) -> dict[str, ImageVerdict]:
    for path, manifest in manifests.items():
        if manifest.split == split:
            return _by_id(path, manifest.images, images)
    raise ManifestError(f"{category} {split}: there are maps but no verdicts; build the verdicts of the split")


def _truth_file(record: TruthRecord, data_root: Path, truth_root: Path | None) -> Path | None:
    if record.mask is None:
        return None
    root = data_root if record.root == "data" else truth_root
    if root is None:
        raise DataError(f"{record.mask}: this truth mask lies below data.truth_root, which is null; set it")
    return root / record.mask
