"""feature_bank: the distance of a tile's features to the nearest feature of any defect-free tile.

Paper: Roth et al., Towards Total Recall in Industrial Anomaly Detection (PatchCore), CVPR 2022.
Equations: local averaging (section 3.1), greedy coreset after a random projection (section 3.2), distance to the
nearest vector (section 3.3).
Reference: amazon-science/patchcore-inspection (Apache-2.0); written from the paper.

parity: every layer is scaled to length 1, so layers weigh alike; the reference resamples all channels to one width.
parity: the bank also holds wide photometric variants of each tile, and candidates are drawn at random before thinning.
parity: no re-weighting by the neighbourhood of the nearest vector; optionally the mean over several neighbours.
"""

import logging
import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from seamark.detectors.nearest_vectors import NearestVectors
from seamark.errors import ConfigError, ManifestError
from seamark.learning.batches import TrainingTiles, counted_random
from seamark.learning.detector import Detector, cells_with_content
from seamark.learning.phases import ComputedPhase, Phase, Track
from seamark.networks.plain_form import in_plain_form, tile_by_tile
from seamark.settings.feature_bank import FeatureBankSettings
from seamark.synthesis.photometric import wide_variant

LOG = logging.getLogger(__name__)
PADDING_VECTORS = 16
"""Vectors of pure padding among the candidates: enough to know what padding looks like."""
LOOK_AHEAD = 16
"""Candidates whose distances to all others are computed together while a bank is thinned."""
DISTANCE_BLOCK = 1 << 21
"""Distances computed at a time: few enough to stay in a core's cache."""


class FeatureBank(Detector):
    """Nearest-neighbour distance to a thinned bank of frozen features."""

    Settings = FeatureBankSettings
    bank: Tensor

    def __init__(self, settings: FeatureBankSettings, tile_shape: tuple[int, int], seed: int) -> None:
        super().__init__(settings, tile_shape, seed)
        self.settings = settings
        self.register_buffer("bank", torch.empty(0, 0))
        self._search: NearestVectors | None = None

    def phases(self, tiles: TrainingTiles) -> Sequence[Phase]:  # noqa: D102, ARG002
        return [BankPhase(self)]

    def vectors(self, images: Tensor) -> Tensor:
        """Return vectors (B, h * w, D) of normalised images (B, 3, H, W): all layers, each of length 1."""
        parts = []
        for level in self.backbone.pyramid(images):
            local = F.avg_pool2d(level, 3, stride=1, padding=1, count_include_pad=False)
            if local.shape[2:] != self.map_shape:
                local = F.interpolate(local, self.map_shape, mode="bilinear")
            parts.append(F.normalize(local, dim=1))
        return torch.cat(parts, dim=1).flatten(2).transpose(1, 2).contiguous()

    @torch.no_grad()
    def score(self, batch: Tensor) -> Tensor:  # noqa: D102
        if not len(self.bank):
            raise ManifestError("the feature bank is empty; train it first")
        found = self.vectors(batch).to(torch.float32)
        with torch.autocast(batch.device.type, enabled=False):
            scores = [self._distances(vectors.flatten(0, 1)) for vectors in tile_by_tile(found)]
        return torch.cat(scores).reshape(-1, *self.map_shape)

    def _distances(self, vectors: Tensor) -> Tensor:
        """Mean distance (N,) of vectors (N, D) to their nearest neighbours in the bank."""
        if vectors.device.type == "cpu" and not in_plain_form():
            if self._search is None or self._search.bank is not self.bank:
                self._search = NearestVectors(self.bank)
            return self._search.distances(vectors, self.settings.neighbours)
        return self._plain_distances(vectors)

    def _plain_distances(self, vectors: Tensor) -> Tensor:
        """Return them from the products of all vectors with the whole bank."""
        neighbours = self.settings.neighbours
        blocks = torch.split(self.bank, max(1, DISTANCE_BLOCK // math.prod(self.map_shape)))
        products = (torch.addmm(own.square().sum(dim=1), vectors, own.T, alpha=-2.0) for own in blocks)
        nearest = _lowest(torch.cat([_lowest(each, neighbours) for each in products], dim=1), neighbours)
        nearest = nearest + vectors.square().sum(dim=1, keepdim=True)
        return nearest.clamp(min=0.0).sqrt().mean(dim=1)

    def load(self, state: Mapping[str, Tensor]) -> None:  # noqa: D102
        if "bank" in state and state["bank"].ndim == 2:
            self.bank = torch.empty_like(state["bank"], device=self.bank.device)
        super().load(state)


def _lowest(values: Tensor, count: int) -> Tensor:
    """Return the lowest values (N, min(count, K)) of each row of (N, K)."""
    if count == 1:
        return values.amin(dim=1, keepdim=True)
    return values.topk(min(count, values.shape[1]), dim=1, largest=False).values


class BankPhase(ComputedPhase):
    """Draws candidates from all tiles and their variants and thins them."""

    name = "bank"

    def __init__(self, detector: FeatureBank) -> None:
        self.detector = detector
        self.settings = detector.settings

    def run(self, tiles: TrainingTiles, track: Track) -> None:  # noqa: D102
        detector, settings = self.detector, self.settings
        cells = math.prod(detector.map_shape)
        dim = detector.vectors(tiles.train.images([tiles.train.pixels(0)])).shape[2]
        per_view = candidates_per_view(settings, len(tiles.train), cells)
        views = len(tiles.train) * (1 + settings.variants)
        needed = bank_bytes(settings, views * per_view, dim, cells)
        LOG.info("%d candidates of %d numbers, %.0f MB needed at most", views * per_view, dim, needed / 1e6)
        if needed > settings.memory_limit_mb * 1_000_000:
            raise ConfigError(
                f"feature_bank: {views * per_view} candidates of {dim} numbers need {needed / 1e6:.0f} MB, but "
                f"memory_limit_mb is {settings.memory_limit_mb}; "
                "lower bank_size or candidates_per_vector, or raise the limit"
            )
        candidates = self._candidates(tiles, track, torch.empty(views * per_view, dim, device=tiles.train.device))
        chosen = spread_choice(candidates, settings.bank_size, settings.projection_dim, detector.seed, track)
        detector.bank = candidates[chosen]

    def _candidates(self, tiles: TrainingTiles, track: Track, room: Tensor) -> Tensor:
        """Fill rows of the room (R, D), made beforehand: small tensors that are kept would hold whole tiles' memory."""
        reader, detector = tiles.train, self.detector
        per_view = len(room) // (len(reader) * (1 + self.settings.variants))
        filled, padding_room = 0, PADDING_VECTORS
        for tile in track(range(len(reader)), "tiles read"):
            plain = reader.pixels(tile)
            content = cells_with_content(plain, detector.map_shape).ravel()
            for version in range(1 + self.settings.variants):
                random = counted_random(reader.seed, "bank", tile, version)
                pixels = wide_variant(plain, self.settings.wide, random) if version else plain
                order = random.permutation(content.size)
                padding = order[~content[order]][: min(padding_room, per_view)]
                padding_room -= padding.size
                taken = [*padding, *order[content[order]][: per_view - padding.size]]
                places = torch.tensor(taken, dtype=torch.int64, device=reader.device)
                end = filled + len(places)
                torch.index_select(detector.vectors(reader.images([pixels]))[0], 0, places, out=room[filled:end])
                filled = end
        return room[:filled]


def candidates_per_view(settings: FeatureBankSettings, tiles: int, cells: int) -> int:
    """Return how many vectors, at least one, are drawn from each tile and from each variant of it.

    ``cells`` is the number of vectors that one tile gives.
    """
    wanted = settings.bank_size * settings.candidates_per_vector
    return min(cells, math.ceil(wanted / (tiles * (1 + settings.variants))))


def bank_bytes(settings: FeatureBankSettings, candidates: int, dim: int, cells: int) -> int:
    """Return an upper bound of the memory that filling, thinning and searching the bank takes, beside the backbone's.

    Bytes of float32 numbers: candidates of ``dim`` numbers, their projections and distances, the bank and what is made
    of it to search it, the vectors of a tile, and a block of distances. ``cells`` is the number of vectors that one
    tile gives.
    """
    numbers = candidates * (dim + settings.projection_dim + 4) + 2 * settings.bank_size * dim + 3 * cells * dim
    return 4 * (numbers + 2 * max(DISTANCE_BLOCK, settings.bank_size))


def spread_choice(candidates: Tensor, size: int, projection_dim: int, seed: int, track: Track) -> Tensor:
    """Choose vectors that cover all candidates: each next one is the farthest from those chosen (greedy k-centre).

    Parameters
    ----------
    candidates : Tensor of float32, shape (R, D)
        What to choose from.
    size : int
        How many; all are chosen if there are not more.
    projection_dim : int
        Distances are measured after a random projection to this many dimensions.
    seed : int
        Seed of the projection.
    track : callable
        Reports progress.

    Returns
    -------
    Tensor of int64, shape (min(size, R),)
        Indices in ascending order.
    """
    if len(candidates) <= size:
        return torch.arange(len(candidates), device=candidates.device)
    directions = counted_random(seed, "projection").standard_normal((candidates.shape[1], projection_dim))
    points = candidates @ torch.from_numpy(directions).to(candidates)
    squares = points.square().sum(dim=1)
    nearest = torch.full_like(squares, math.inf)
    chosen = torch.zeros(size, dtype=torch.int64, device=candidates.device)
    ready: dict[int, Tensor] = {}
    for place in track(range(size), "vectors kept"):
        latest = int(nearest.argmax()) if place else 0
        if latest not in ready:
            # Whoever is far off now is mostly chosen soon, and distances to several cost little more than to one.
            farthest = nearest.topk(min(LOOK_AHEAD, len(points))).indices if place else torch.zeros_like(chosen[:1])
            latest = int(farthest[0])
            distances = torch.addmm(squares, points[farthest], points.T, alpha=-2.0) + squares[farthest].unsqueeze(1)
            ready = dict(zip(farthest.tolist(), distances, strict=True))
        chosen[place] = latest
        nearest = torch.minimum(nearest, ready[latest])
        nearest[latest] = -math.inf
    return chosen.sort().values
