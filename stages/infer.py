"""Score the tiles of one split with a trained detector, or those of each fold with the model that has not seen them.

**Inputs** ``model``: model manifest (fit.json), one per fold where the split has folds; ``weights``: safetensors
likewise; ``tiles``: tiles manifest; ``tiles_npy``: uint8 (T, H, W, C) tiles.
**Outputs** ``maps``: .npy float32 (T, h, w), raw scores at the detector's own resolution, higher is more anomalous;
beside them, for a detector whose score is the mean of two maps, ``<split>.components.npy`` float32 (T, 2, h, w);
``manifest``: tile maps manifest with the range of the scores and where the cells lie in a tile.
**Params** ``detector``: ``module:Class``; ``name``: its name in the configuration; ``settings``: its block.
"""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from seamark.files.atomic import atomic_write, file_digest
from seamark.learning.crossfit import scored_tiles
from seamark.learning.detector import ComponentDetector, load_detector_class
from seamark.learning.scoring import score_tiles
from seamark.learning.stored_models import read_model
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.model import ModelManifest
from seamark.manifests.tilemaps import CellGeometry, TilemapsManifest
from seamark.manifests.tiles import TilesManifest
from seamark.maps.tile_maps import components_path
from seamark.running.job import Job, run
from seamark.tiles.stored import open_tiles


def main(job: Job) -> None:
    """Load each model, score its tiles into the file of all, then write the manifest."""
    tiles = read_manifest(job.path("tiles"), TilesManifest)
    models = [read_manifest(path, ModelManifest) for path in job.paths("model")]
    kind = load_detector_class(job.params["detector"])
    settings = job.settings(kind.Settings)
    target = job.target("maps")
    with ExitStack() as drafts:
        draft = drafts.enter_context(atomic_write(target))
        parts = None
        if issubclass(kind, ComponentDetector):
            parts = drafts.enter_context(atomic_write(components_path(target)))
        pixels = open_tiles(job.path("tiles_npy"), tiles)
        score = partial(score_tiles, device=job.device, track=job.track, autocast=settings.autocast, components=parts)

        def scored(weights: Path, rows: range | None) -> tuple[float, float, CellGeometry]:
            detector = read_model(weights, kind, settings, tiles.shape[1:3])
            return *score(detector, pixels, draft, rows=rows), detector.cells

        shares = list(map(scored, job.paths("weights"), scored_tiles(models, tiles)))
    if parts is None:
        components_path(target).unlink(missing_ok=True)
    manifest = TilemapsManifest(
        detector=models[0].detector,
        category=tiles.category,
        split=tiles.split,
        file=target.name,
        shape=(tiles.shape[0], *models[0].map_shape),
        sha256=file_digest(target),
        tiles_sha256=tiles.sha256,
        minimum=min(lowest for lowest, _, _ in shares),
        maximum=max(highest for _, highest, _ in shares),
        cells=shares[0][2],
    )
    write_manifest(job.target("manifest"), manifest)


run(main, globals())
