"""Gather the known truth of a category and test split; only evaluate and preview read it.

**Inputs** ``index``: IndexManifest of the split.
**Outputs** ``manifest``: TruthManifest, JSON; label, mask path, digest and number of defect pixels of every image
whose truth is known, and why the pixels of some are no truth.
**Params** ``root``: data root; ``truth_root``: folder with the private truth, or None.

Source: docs/methods/mvtec_ad2.md#tree-and-names (mask names and values).
"""

from pathlib import Path

from seamark.data.index import find_truth, left_out_lines, surplus_lines
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.index import IndexManifest
from seamark.running.job import Job, run


def main(job: Job) -> None:
    """Gather the truth of one split of one category."""
    index = read_manifest(job.path("index"), IndexManifest)
    truth_root = Path(job.params["truth_root"]) if job.params["truth_root"] else None
    truth = find_truth(index, Path(job.params["root"]), truth_root, job.map)
    write_manifest(job.target("manifest"), truth)
    surplus = surplus_lines(truth, truth_root) if truth_root else ()
    job.say(*(f"warning: {line}" for line in (*left_out_lines(truth), *surplus)))


run(main, globals())
