"""Fusing the anomaly maps of several detectors; a single detector whose maps stay as they are is referred to."""

import math
import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seamark.errors import DataError, ManifestError
from seamark.files.images import Float32Array
from seamark.files.parallel import MapItems
from seamark.manifests.base import read_manifest
from seamark.manifests.maps import MapRecord, MapsManifest, Scaling
from seamark.maps.borders import border_excess, expected_rise, levelled
from seamark.maps.stored import load_map
from seamark.settings.fuse import FuseSettings

TAIL_SHARE = 0.99
"""Share of the pixels of a normal photograph that do not exceed 1 on the scale of tails."""


@dataclass(frozen=True)
class Member:
    """The maps of one detector."""

    path: Path
    """Manifest file; map files are relative to its folder."""
    manifest: MapsManifest
    rise: Float32Array | None = None
    """What is taken off its maps towards the border, see :func:`seamark.maps.borders.levelled`."""

    def read(self, record: MapRecord) -> Float32Array:
        """Return one of its maps, float32 (h, w); ManifestError if the file is not the one that it describes."""
        scores = load_map(self.path, record)
        return scores if self.rise is None else levelled(scores, self.rise)

    @property
    def rise_table(self) -> tuple[tuple[float, ...], ...]:
        """What is taken off, as manifests hold it."""
        return () if self.rise is None else tuple(map(tuple, self.rise.tolist()))


def read_members(paths: Sequence[Path], names: Sequence[str]) -> list[Member]:
    """Read the manifests of all members, in the order of the settings.

    Parameters
    ----------
    paths : sequence of Path
        Manifests of the merge stage, one per member, all of one category and split.
    names : sequence of str
        ``members`` of the settings.

    Raises
    ------
    ManifestError
        If a manifest is missing, or is none of the members', or the members have other images or map sizes.
    """
    found = {}
    for path in paths:
        manifest = read_manifest(path, MapsManifest)
        found[manifest.detector] = Member(path, manifest)
    if set(found) != set(names) or len(paths) != len(found):
        raise ManifestError(
            f"maps of {[str(path) for path in paths]}: detectors {sorted(found)}, expected one manifest of each of "
            f"{sorted(names)}; correct fuse.members or rebuild merge"
        )
    members = [found[name] for name in names]
    for member in members[1:]:
        _check_agreement(members[0], member)
    return members


def _check_agreement(first: Member, other: Member) -> None:
    expected = {record.id: (record.map_height, record.map_width) for record in first.manifest.maps}
    actual = {record.id: (record.map_height, record.map_width) for record in other.manifest.maps}
    for image_id in sorted(expected.keys() | actual.keys()):
        if expected.get(image_id) != actual.get(image_id):
            raise ManifestError(
                f"{other.path}: map of image {image_id} has size {actual.get(image_id)}, in {first.path} it is "
                f"{expected.get(image_id)} (height, width); members must have the same images and merge.scale; "
                "rebuild merge"
            )


def refer(member: Member, target: Path) -> tuple[MapRecord, ...]:
    """Return the records of a member with paths that hold from the fused manifest's folder."""
    return tuple(
        record.model_copy(
            update={"file": Path(os.path.relpath(member.path.parent / record.file, target.parent)).as_posix()}
        )
        for record in member.manifest.maps
    )


@dataclass(frozen=True)
class Moments:
    """Number, mean and sum of squared deviations of scores."""

    count: int
    mean: float
    squares: float


def moments(scores: Float32Array) -> Moments:
    """Return the moments of one map, float32 (h, w), finite scores, in float64."""
    mean = float(scores.mean(dtype=np.float64))
    return Moments(scores.size, mean, float(np.square(scores - np.float64(mean)).sum(dtype=np.float64)))


def pooled(parts: Sequence[Moments]) -> tuple[float, float]:
    """Return mean and population standard deviation of all pixels of several maps, at least one.

    They are the same for any order of the maps, because the sums over maps are correctly rounded.
    """
    count = sum(part.count for part in parts)
    mean = math.fsum(part.count * part.mean for part in parts) / count
    squares = math.fsum(part.squares + part.count * (part.mean - mean) ** 2 for part in parts)
    return mean, math.sqrt(squares / count)


@dataclass(frozen=True)
class Tail:
    """Median and 0.99 quantile of scores."""

    median: float
    upper: float


def tail(scores: Float32Array) -> Tail:
    """Return the tail of one map, float32 (h, w), finite scores; both are scores that occur."""
    median, upper = np.quantile(scores, (0.5, TAIL_SHARE), method="inverted_cdf")
    return Tail(float(median), float(upper))


def typical(parts: Sequence[Tail]) -> tuple[float, float]:
    """Return the median of the medians of maps, at least one, and how far that of their upper quantiles lies above it.

    Fewer than half of the maps, however odd, take neither beyond what the others have.
    """
    centre = statistics.median(part.median for part in parts)
    return centre, statistics.median(part.upper for part in parts) - centre


@dataclass(frozen=True)
class Normalisation:
    """How validation maps give a scale."""

    of_map: Callable[[Float32Array], Any]
    of_maps: Callable[[Sequence[Any]], tuple[float, float]]
    """Centre and spread from what ``of_map`` gave for each map."""
    tied: str
    """What is wrong where the spread is 0."""


NORMALISATIONS: Mapping[str, Normalisation] = {
    "validation_z": Normalisation(
        moments, pooled, "all validation scores of {} are {}, so they cannot be divided by their standard deviation"
    ),
    "validation_tails": Normalisation(
        tail,
        typical,
        f"median and {TAIL_SHARE} quantile of most validation maps of {{}} are {{}}, so scores cannot be divided by "
        "their difference",
    ),
}
"""By the values of ``fuse.normalise``."""


def validation_scaling(member: Member, normalisation: Normalisation, parts: Sequence[Any], weight: float) -> Scaling:
    """Return the scaling that brings a member's validation maps to centre 0 and spread 1.

    Parameters
    ----------
    member : Member
        Its validation maps, levelled where maps are.
    normalisation : Normalisation
        What centre and spread are.
    parts : sequence
        What ``normalisation.of_map`` returns for each of the maps, in any order.
    weight : float
        Weight of the member, above 0.

    Raises
    ------
    DataError
        If the spread is 0.
    """
    centre, spread = normalisation.of_maps(parts)
    if spread == 0.0:
        tied = normalisation.tied.format(member.manifest.detector, centre)
        raise DataError(f"{member.path}: {tied}; train the detector again or leave it out of fuse.members")
    return Scaling(weight=weight, centre=centre, spread=spread, rise=member.rise_table)


def member_scaling(member: Member, settings: FuseSettings, map_items: MapItems) -> Scaling:
    """Return how the scores of a member are brought to the common scale.

    Parameters
    ----------
    member : Member
        Its maps of the validation split.
    settings : FuseSettings
        Whether borders are levelled, and what centre and spread are.
    map_items : MapItems
        Runs the work, for example :meth:`seamark.running.job.Job.map`.

    Raises
    ------
    DataError
        If most of its scores are the same, so that there is no spread.
    ManifestError
        If a map is not the one that the manifest describes.
    """
    maps, weight = member.manifest.maps, settings.weight(member.manifest.detector)
    flat = member
    if settings.level_borders:
        excesses = map_items(lambda record: border_excess(member.read(record)), maps, "validation borders")
        flat = replace(member, rise=expected_rise(excesses))
    if not settings.scales:
        return Scaling(weight=weight, rise=flat.rise_table)
    normalisation = NORMALISATIONS[settings.normalise]
    parts = map_items(lambda record: normalisation.of_map(flat.read(record)), maps, "validation maps")
    return validation_scaling(flat, normalisation, parts, weight)


def scaled(scores: Float32Array, scaling: Scaling) -> Float32Array:
    """Return a member's map, float32 (h, w), on the common scale, float32 (h, w)."""
    flat = levelled(scores, np.array(scaling.rise, np.float32)) if scaling.rise else scores.copy()
    flat -= np.float32(scaling.centre)
    flat *= np.float32(scaling.weight / scaling.spread)
    return flat


def fuse_maps(maps: Sequence[Float32Array], scalings: Sequence[Scaling], settings: FuseSettings) -> Float32Array:
    """Fuse the maps of one image.

    Parameters
    ----------
    maps : sequence of ndarray of float32, shape (h, w)
        One per member.
    scalings : sequence of Scaling
        One per member; centre 0 and spread 1 without a rise leave its scores as they are.
    settings : FuseSettings
        mean: sum of weight times scaled score, divided by the sum of the weights; max: the largest weight times
        scaled score.

    Returns
    -------
    ndarray of float32, shape (h, w)
        Fused scores.
    """
    fused, *others = [scaled(scores, scaling) for scores, scaling in zip(maps, scalings, strict=True)]
    for scores in others:
        fused = np.maximum(fused, scores) if settings.how == "max" else fused + scores
    if settings.how == "mean":
        fused = fused / np.float32(math.fsum(scaling.weight for scaling in scalings))
    return fused


@dataclass(frozen=True)
class Layer:
    """A map in which defects have the outlines that one grid of cells gives them."""

    scores: Float32Array
    """Shape (h, w), on the scale of the fused map."""
    cell_px: float = 1.0
    """Side of the cells in px of the photograph."""


def layers(fused: Layer, members: Iterable[tuple[Float32Array, float, Scaling]]) -> Iterator[Layer]:
    """Yield the layers of a fused map: of a maximum, each member's scaled map, finest cells first; else the map itself.

    Parameters
    ----------
    fused : Layer
        The map.
    members : iterable of (ndarray of float32 of shape (h, w), float, Scaling)
        What it is the maximum of: map, side of its cells in px of the photograph, scaling; none for other maps.
    """
    parts = sorted(members, key=lambda member: member[1])
    if not parts:
        yield fused
    for scores, cell_px, scaling in parts:
        yield Layer(scaled(scores, scaling), cell_px)


def read_layers(path: Path, manifest: MapsManifest, record: MapRecord, scores: Float32Array) -> Iterator[Layer]:
    """Read the layers of one of the fused maps of a manifest, float32 (h, w), see :func:`layers`.

    Raises
    ------
    ManifestError
        If a member's map is not the one that the manifest describes.
    """
    parts = [(one, member.scaling) for member in manifest.members for one in member.maps if one.id == record.id]
    members = [(load_map(path, one), one.cell_px, scaling) for one, scaling in parts]
    yield from layers(Layer(scores, record.cell_px), members)
