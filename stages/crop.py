"""Cut the images of one category and split into tiles at the size of the model's input.

**Inputs**

- ``index``: manifest of the category's images, with their sizes in px and digests.

**Outputs**

- ``tiles``: uint8 array (T, h, w, C) in a memory-mappable .npy file, values 0..255, C is 1 (grey) or 3 (RGB).
- ``manifest``: the tiles' windows in px of their images, half-open, rows outer; what lies beyond the image is padding.

**Params**

- ``settings``: the grid: layout, window in px, overlap as a share of it, input size in px.
- ``root``: the data root.

Source: Swin-Cropping, RoBiS specification section A.
"""

from pathlib import Path

from seamark.job import Job, run
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.index import IndexManifest
from seamark.settings.grid import GridSettings
from seamark.tile_plan import images_of, plan_tiles
from seamark.tiles import tiles_manifest, write_tiles


def main(job: Job) -> None:
    """Cut all images of the split."""
    root = Path(job.params["root"])
    target = job.target("tiles")
    index = read_manifest(job.path("index"), IndexManifest)
    images = images_of(index, job.wildcards["split"], root)
    plan = plan_tiles(images, job.settings(GridSettings), target.parent, job.threads)
    write_tiles(target, plan, root, job.map)
    write_manifest(job.target("manifest"), tiles_manifest(plan, index.category, target))


run(main, globals())
