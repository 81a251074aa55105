"""List and check every image of a category and split.

**Inputs** ``demo``: the demo's manifest, present only when the demo is drawn.
**Outputs** ``manifest``: IndexManifest, JSON; image, split, light, label, mask path, size in px, channels, digest.
**Params** ``root``: data root; ``layout``: folder layout, as ``data.layout``;
``chosen``: number of training images that are listed and the seed by which they are chosen, empty for all;
``image_px_max``: px that a photograph may have; ``pixels``: how photographs are decoded, here and by every later stage.

Source: docs/methods/mvtec_ad2.md#tree-and-names and docs/methods/mvtec_ad2.md#counts.
"""

from pathlib import Path

from seamark.data.index import index_split
from seamark.manifests.base import write_manifest
from seamark.running.job import Job, run
from seamark.settings.pixels import PixelSettings


def main(job: Job) -> None:
    """Index one split of one category."""
    manifest = index_split(
        Path(job.params["root"]),
        job.wildcards["category"],
        job.wildcards["split"],  # type: ignore[arg-type]  # constrained to splits
        job.params["layout"],
        job.map,
        **job.params["chosen"],
        most_pixels=job.params["image_px_max"],
        pixels=job.settings(PixelSettings, "pixels"),
    )
    write_manifest(job.target("manifest"), manifest)


run(main, globals())
