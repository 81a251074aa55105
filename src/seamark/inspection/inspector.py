"""The Inspector: judges photographs with a bundle, by the code of the stages, so with the same maps and masks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from seamark.errors import DataError
from seamark.files.images import BoolArray, Float32Array, UInt8Array, read_image
from seamark.inspection.bundle_file import Bundle, read_bundle
from seamark.inspection.graphs import load_graphs
from seamark.inspection.members import Member, Scorer
from seamark.manifests.bundle import BundleManifest
from seamark.manifests.verdict import Answer, Basis, ImageVerdict
from seamark.maps.calibration import image_statistics, pooled_statistics
from seamark.maps.float16_scores import score_histogram
from seamark.maps.fusion import Layer, fuse_maps, layers
from seamark.maps.normal_statistics import Photograph, highest_of
from seamark.masks.binarize import binarize_map
from seamark.masks.components import enlarge_map, find_components
from seamark.masks.refine import refine_at_scale, segmenter_for
from seamark.masks.thresholds import ImageContext
from seamark.masks.verdict import NormalScores, answer, gate_action, gated, largest_defect
from seamark.settings.refine import RefineSettings
from seamark.tiles.geometry import Box


@dataclass(frozen=True)
class Component:
    """A connected part of a mask, 8-connected."""

    box: Box
    """Left, top, right and bottom in px of the photograph, half-open."""
    area_px: int
    score: float
    """Highest score in it."""


@dataclass(frozen=True)
class Inspection:
    """What is said of one photograph of H x W px."""

    map: Float32Array
    """Anomaly map (h, w), raw scores, higher is more anomalous; its size is the photograph's times ``merge.scale``."""
    mask: BoolArray
    """The final mask (H, W), True where there is a defect."""
    score: float
    """Highest score of the map."""
    p: float
    """Conformal p-value: (1 + normal images with at least this score) / (normal images + 1)."""
    percentile: float
    """Share of the normal images below the score, 0..100."""
    verdict: Answer
    """``good``, ``look`` or ``bad``, by the two rates of :attr:`basis`."""
    components: tuple[Component, ...]
    """Of the mask, the largest first."""
    basis: Basis
    """Normal images and rates that the verdict rests on."""
    changed: str
    """``emptied`` or ``marked`` where the verdict changed the mask, else ``kept``."""

    def row(self, image_id: str) -> ImageVerdict:
        """Return it as a row of the table of verdicts."""
        return ImageVerdict.model_validate(
            {
                "id": image_id,
                "score": self.score,
                "p": self.p,
                "percentile": self.percentile,
                "answer": self.verdict,
                "defects": len(self.components),
                "area_px": int(np.count_nonzero(self.mask)),
                "largest": largest_defect(self.mask),
                "mask": self.changed,
            }
        )


class Inspector:
    """Judges photographs of one category; may be called from several threads.

    Parameters
    ----------
    bundle : Bundle
        The bundle, read.
    members : sequence of Member
        Its detectors, loaded.
    device : str
        ``cpu`` or ``cuda:<index>``, where a network that refines shall run.

    Raises
    ------
    WeightsError
        If the weights of Segment Anything are needed and not found.

    Examples
    --------
    >>> from seamark import Inspector
    >>> inspector = Inspector.load(bundle)  # a path such as out/demo/85_bundles/woven.seamark
    >>> inspection = inspector(photograph)  # a path, or uint8 (H, W), (H, W, 1) or (H, W, 3)
    >>> inspection.verdict, inspection.mask.shape == inspection.map.shape, 0.0 < inspection.p <= 1.0
    ('bad', True, True)
    """

    def __init__(self, bundle: Bundle, members: Sequence[Member], device: str = "cpu") -> None:
        manifest = bundle.manifest
        self.bundle, self._members = bundle, tuple(members)
        peaks = [(Photograph(peak.split, peak.id), peak.score) for peak in manifest.normal.peaks]
        self._photographs, self._normal = highest_of(peaks), NormalScores(peaks)
        self.basis: Basis = self._normal.basis(manifest.verdict)
        self._segmenter = segmenter_for(_with_weights(bundle), device)

    @classmethod
    def load(
        cls, path: str | Path, *, runtime: Literal["torch", "onnxruntime"] = "torch", device: str = "cpu"
    ) -> "Inspector":
        """Load a bundle.

        Parameters
        ----------
        path : str or Path
            File that the target ``bundle`` made.
        runtime : {"torch", "onnxruntime"}
            What computes the detectors: torch, as the run did, or onnxruntime, without torch, with the graphs that
            ``seamark export`` made beside the bundle; its maps differ by rounding.
        device : str
            ``cpu`` or ``cuda:<index>``; onnxruntime computes on the CPU.

        Raises
        ------
        ConfigError
            If there is no such device, or onnxruntime is not installed.
        ManifestError
            If it is damaged or no bundle.
        WeightsError
            If pretrained weights that it may not carry are not found.
        """
        bundle = read_bundle(Path(path))
        scorers: Sequence[Scorer] = load_graphs(bundle) if runtime == "onnxruntime" else _torch_scorers(bundle, device)
        told = bundle.manifest
        members = [Member(scorer, member, told.merge) for scorer, member in zip(scorers, told.members, strict=True)]
        return cls(bundle, members, device)

    @property
    def manifest(self) -> BundleManifest:
        """What the bundle says of itself."""
        return self.bundle.manifest

    def __call__(self, image: str | Path | UInt8Array) -> Inspection:
        """Judge one photograph.

        Parameters
        ----------
        image : str, Path, or ndarray of uint8 of shape (H, W), (H, W, 1) or (H, W, 3)
            A file, which is decoded as those of the run were (``manifest.pixels``), or pixels, R, G, B, which are taken
            as they are.

        Returns
        -------
        Inspection
            The same as the stages of a run give it.

        Raises
        ------
        DataError
            If it cannot be read, or is grey where the category has colours or the other way round.
        """
        photograph = self._photograph(image)
        scores, drawn_in = self._map(photograph)
        return self._judged(photograph, scores, drawn_in)

    def batch(self, images: Iterable[str | Path | UInt8Array]) -> Iterator[Inspection]:
        """Judge photographs one after the other, none depending on the others; see :meth:`__call__`."""
        return map(self, images)

    def _photograph(self, image: str | Path | UInt8Array) -> UInt8Array:
        if isinstance(image, str | Path):
            pixels = read_image(Path(image), settings=self.manifest.pixels)
        else:
            pixels = np.asarray(image)
        if pixels.ndim == 2:
            pixels = pixels[:, :, np.newaxis]
        called = image if isinstance(image, str | Path) else "the photograph"
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or not pixels.size:
            raise DataError(f"{called}: {pixels.dtype} of shape {pixels.shape}, expected uint8 (H, W) or (H, W, 3)")
        if pixels.shape[2] != self.manifest.channels:
            kinds = {1: "grey", 3: "RGB"}
            found = kinds.get(pixels.shape[2], f"of {pixels.shape[2]} channels")
            raise DataError(
                f"{called}: the photograph is {found}, those of {self.manifest.category} are "
                f"{kinds[self.manifest.channels]}; take it with the same camera and settings"
            )
        return np.ascontiguousarray(pixels)

    def _map(self, photograph: UInt8Array) -> tuple[Float32Array, Iterator[Layer]]:
        """Return the fused map and the layers in which outlines are drawn."""
        fuse = self.manifest.fuse
        parts = [(*member.map_of(photograph), member.scaling) for member in self._members]
        maps, cells, scalings = zip(*parts, strict=True)
        scores = maps[0] if fuse.refers else fuse_maps(maps, scalings, fuse)
        return scores, layers(Layer(scores, min(cells)), parts if fuse.layers else ())

    def _judged(self, photograph: UInt8Array, scores: Float32Array, drawn_in: Iterator[Layer]) -> Inspection:
        told, shape = self.manifest, (photograph.shape[0], photograph.shape[1])
        histogram = score_histogram(scores)
        image = image_statistics("photograph", scores, histogram)
        alone = pooled_statistics("test_private", [image], histogram, ())
        context = ImageContext(told.normal.statistics, alone, image, told.normal.base, self._photographs)
        mask, _ = binarize_map(scores, shape, context, told.binarize, drawn_in, least_evidence=told.least_evidence)
        if self._segmenter is not None and mask.any():
            mask, _ = refine_at_scale(photograph, mask, scores, self._segmenter, told.refine)
        p = self._normal.p(image.maximum)
        said = answer(p, self.basis)
        final = gated(mask, said, lambda: scores, self.basis.bad.above) if told.verdict.gate else mask
        return Inspection(
            map=scores,
            mask=final,
            score=image.maximum,
            p=p,
            percentile=self._normal.percentile(image.maximum),
            verdict=said,
            components=_components(final, scores),
            basis=self.basis,
            changed=gate_action(mask, final),
        )


def _torch_scorers(bundle: Bundle, device: str) -> Sequence[Scorer]:
    from seamark.inspection.torch_scoring import load_scorers  # noqa: PLC0415 (which loads torch)

    return load_scorers(bundle, device)


def _with_weights(bundle: Bundle) -> RefineSettings:
    """Return how masks are refined, with weights of SAM beside it or from the caches: no path in it is followed."""
    refine = bundle.manifest.refine
    if refine.method != "sam" or refine.sam.weights == "random":
        return refine
    beside = bundle.path.parent / Path(refine.sam.weights).name
    sam = refine.sam.model_copy(update={"weights": str(beside) if beside.is_file() else "pretrained"})
    return refine.model_copy(update={"sam": sam})


def _components(mask: BoolArray, scores: Float32Array) -> tuple[Component, ...]:
    found = find_components(mask)
    canvas = enlarge_map(scores, (mask.shape[0], mask.shape[1])) if found.boxes else scores
    parts = []
    for number, (box, area) in enumerate(zip(found.boxes, found.areas, strict=True), start=1):
        inside = np.s_[box[1] : box[3], box[0] : box[2]]
        parts.append(Component(box, int(area), float(canvas[inside][found.labels[inside] == number].max())))
    return tuple(sorted(parts, key=lambda part: (-part.area_px, part.box[1], part.box[0])))
