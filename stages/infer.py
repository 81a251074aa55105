"""Score the tiles of one split with a trained detector.

**Inputs** ``model``: model manifest (fit.json); ``weights``: safetensors; ``tiles``: tiles manifest; ``tiles_npy``:
uint8 (T, H, W, C) tiles.
**Outputs** ``maps``: .npy float32 (T, h, w), raw scores at the detector's own resolution, higher is more anomalous;
beside them, for a detector whose score is the mean of two maps, ``<split>.components.npy`` float32 (T, 2, h, w);
``manifest``: tile maps manifest with the range of the scores and where the cells lie in a tile.
**Params** ``detector``: ``module:Class``; ``name``: its name in the configuration; ``settings``: its block.
"""

from contextlib import ExitStack

from seamark.artifacts import committed_file, file_digest
from seamark.component_maps import ComponentDetector
from seamark.detectors.base import load_detector_class
from seamark.inference import score_tiles
from seamark.job import Job, run
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.model import ModelManifest
from seamark.manifests.tilemaps import TilemapsManifest
from seamark.manifests.tiles import TilesManifest
from seamark.models import read_model
from seamark.stored_tiles import open_tiles
from seamark.tilemaps import components_path


def main(job: Job) -> None:
    """Load the model, score tile by tile into a file, then write the manifest."""
    tiles = read_manifest(job.path("tiles"), TilesManifest)
    model = read_manifest(job.path("model"), ModelManifest)
    kind = load_detector_class(job.params["detector"])
    settings = job.settings(kind.Settings)
    detector = read_model(job.path("weights"), kind, settings, tiles.shape[1:3])
    target = job.target("maps")
    components_path(target).unlink(missing_ok=True)
    with ExitStack() as drafts:
        draft = drafts.enter_context(committed_file(target))
        parts = None
        if isinstance(detector, ComponentDetector):
            parts = drafts.enter_context(committed_file(components_path(target)))
        pixels = open_tiles(job.path("tiles_npy"), tiles)
        minimum, maximum = score_tiles(
            detector, pixels, draft, job.device, job.track, autocast=settings.autocast, components=parts
        )
    manifest = TilemapsManifest(
        detector=model.detector,
        category=tiles.category,
        split=tiles.split,
        file=target.name,
        shape=(tiles.shape[0], *detector.map_shape),
        sha256=file_digest(target),
        tiles_sha256=tiles.sha256,
        minimum=minimum,
        maximum=maximum,
        cells=detector.cells,
    )
    write_manifest(job.target("manifest"), manifest)


run(main, globals())
