"""Take stock of a category: what it has, what was passed over, and photographs that stand in several places.

**Inputs** ``index``: IndexManifests of all splits of the category.
**Outputs** ``manifest``: InventoryManifest, JSON; photographs per split and what was passed over in one line, warnings.
**Params** ``root``: data root; ``layout``: folder layout, as ``data.layout``; ``rules``: challenge whose
rules hold, or ``none``.

Source: docs/photographs.md#what-is-passed-over.
"""

from pathlib import Path

from seamark.data.inventory import category_inventory
from seamark.data.root import category_folders
from seamark.data.survey import survey_category
from seamark.errors import DataError
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.index import IndexManifest
from seamark.running.job import Job, run
from seamark.submission.seen_photographs import seen_test_photographs


def main(job: Job) -> None:
    """Take stock of one category."""
    indexes = [read_manifest(path, IndexManifest) for path in job.paths("index")]
    seen = seen_test_photographs(image for index in indexes for image in index.images)
    if seen and job.params["rules"] != "none":
        raise DataError(
            f"{job.params['rules']} forbids to learn from test photographs: {seen.spelled()}; {seen.remedy}"
        )
    root, layout = Path(job.params["root"]), job.params["layout"]
    folder = category_folders(root, layout)[job.wildcards["category"]]
    manifest = category_inventory(indexes, survey_category(root, folder, layout).passed_over)
    write_manifest(job.target("manifest"), manifest)
    job.say(manifest.line, *(f"warning: {text}" for text in manifest.warnings))


run(main, globals())
