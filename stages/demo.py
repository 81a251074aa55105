"""Draw the demo photographs and their truth in the layout of MVTec AD 2.

**Outputs** ``manifest``: DemoManifest, JSON; counts per split and the digest of every photograph and mask.
**Params** ``settings``: DemoSettings; ``root``: folder that gets ``<category>/<split>/...``, 8-bit PNG, grey or RGB,
with the public masks; ``truth_root``: folder that gets ``<category>/<split>/NNN_mask.png`` for the private splits,
8-bit PNG of 0 and 255.

Source: docs/methods/mvtec_ad2.md#tree-and-names; the pictures are our own.
"""

from pathlib import Path

from seamark.demo.dataset import draw_demo
from seamark.manifests.base import write_manifest
from seamark.running.job import Job, run
from seamark.settings.demo import DemoSettings


def main(job: Job) -> None:
    """Draw the whole demo."""
    root, truth_root = Path(job.params["root"]), Path(job.params["truth_root"])
    write_manifest(job.target("manifest"), draw_demo(root, truth_root, job.settings(DemoSettings), job.map))


run(main, globals())
