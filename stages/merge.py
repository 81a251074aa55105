"""Merge the tile maps of every image of one category and split into one anomaly map per image.

**Inputs** ``tiles``: manifest of the tiles, with the window of every tile in image px; ``tilemaps``: manifest of the
tile maps, with the position of their cells in px of the model input; ``tilemaps_npy``: float32 array (T, h, w), raw
scores, higher is more anomalous; beside it, for a detector with two maps per tile, those maps.
**Outputs** ``manifest``: size, range and digest of every map; the maps lie beside it as ``<split>/<id>.tiff``, float32,
raw scores, or scores on the 0..255 scale of the split with the method ``robis``.
**Params** ``settings``: the ``merge`` block: method, scale, blend, smoothing, quirks of the released merge.

Source: docs/methods/robis.md#merging, as released (see ``seamark.maps.robis_merging``) or with tiles at their true
positions and normalised borders (see ``seamark.maps.merging``); docs/methods/superadd.md#map for tiles that are cut
where neighbours meet (see ``seamark.maps.cut_merging``).
"""

from seamark.files.atomic import atomic_folder
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.manifests.tilemaps import TilemapsManifest
from seamark.manifests.tiles import TilesManifest
from seamark.maps.merge_methods import merging
from seamark.maps.merging import cell_side
from seamark.maps.stored import save_map
from seamark.maps.tile_maps import ScoredImage, open_tile_maps, scored_images, weighted_components
from seamark.running.job import Job, run
from seamark.settings.merge import MergeSettings


def main(job: Job) -> None:
    """Merge all images of the split."""
    settings = job.settings(MergeSettings)
    tiles = read_manifest(job.path("tiles"), TilesManifest)
    scored = read_manifest(job.path("tilemaps"), TilemapsManifest)
    scores = open_tile_maps(job.path("tilemaps_npy"), scored, tiles)
    if settings.alpha is not None:
        scores = weighted_components(job.path("tilemaps_npy"), scores, settings.alpha)
    images = scored_images(scores, scored, tiles)
    merged = merging(images, scored.cells, tiles.grid, settings, job.map)
    target = job.target("manifest")

    with atomic_folder(target.with_suffix("")) as folder:

        def merge(image: ScoredImage) -> MapRecord:
            side_px = cell_side(image.boxes[0], scored.cells, tiles.grid.input_shape)
            return save_map(folder, scored.split, image.id, merged(image), image.image_shape, cell_px=side_px)

        maps = tuple(job.map(merge, images, "images merged"))
    write_manifest(
        target, MapsManifest(detector=scored.detector, category=scored.category, split=scored.split, maps=maps)
    )


run(main, globals())
