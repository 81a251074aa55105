"""Compare finished runs on one page and in tables.

**Inputs** (for Snakemake; which file belongs to which run is in ``runs``)

- ``evaluation``: manifests per category; the scores of every resample lie beside them
- ``index``, ``truth``, ``maps``, ``coarse``, ``refined``: manifests per category and split; float32 TIFFs and 0/255
  PNGs lie beside those of maps and masks

**Outputs**

- ``page``: HTML, opens from the file system without a network; beside it ``images/``, the images that changed
  most (JPEG), and ``plots/``, the data behind the charts (CSV)
- ``table``: CSV with full precision, one row per run and category, split, light or mean
- ``markdown``: the compact table, runs against splits and main scores

**Params**

- ``settings``: how many images are drawn
- ``title``: heading of the page
- ``runs``: per run its name, the YAML of the settings that differ from the first run, and its manifests
- ``root``, ``truth_root``: data root and folder of the private truth (or null)
"""

from functools import partial
from pathlib import Path

from seamark.comparison.changed_images import compared_images, most_changed, write_run_pairs
from seamark.comparison.differences import compared_subsets
from seamark.comparison.runs import RunFiles, read_runs
from seamark.comparison.strips import comparison_strips, write_comparison_strip
from seamark.comparison.tables import write_csv
from seamark.files.atomic import atomic_siblings
from seamark.report.compare_page import Comparison, render_comparison, render_markdown
from seamark.running.job import Job, run
from seamark.settings.comparison import ComparisonPageSettings
from seamark.verification.staleness import mark_page


def main(job: Job) -> None:
    """Run the stage."""
    files = [RunFiles.of(entry) for entry in job.params["runs"]]
    runs = read_runs(files)
    images, subsets = compared_images(runs), compared_subsets(runs)
    page, truth_root = job.target("page"), job.params["truth_root"]
    table, markdown = job.target("table"), job.target("markdown")
    pictures, plots = page.with_name("images"), page.with_name("plots")
    drawn = most_changed(images, job.settings(ComparisonPageSettings).images)
    strips = comparison_strips(files, drawn, Path(job.params["root"]), Path(truth_root) if truth_root else None)
    with atomic_siblings(page, table, markdown, pictures, plots) as drafts:
        (drafts / pictures.name).mkdir()
        job.map(partial(write_comparison_strip, folder=drafts / pictures.name), strips, "pictures")
        comparison = Comparison(
            title=job.params["title"],
            runs=runs,
            subsets=subsets,
            images=images,
            pictures={strip.id: pictures / strip.file for strip in strips},
            plots=[plots / path.name for path in write_run_pairs(drafts / plots.name, images, len(runs))],
            table=table,
            markdown=markdown,
        )
        write_csv(drafts / table.name, subsets, [entry.changes for entry in files])
        (drafts / markdown.name).write_text(render_markdown(comparison), encoding="utf-8")
        (drafts / page.name).write_text(render_comparison(comparison, page), encoding="utf-8")
    mark_page(page, "")


run(main, globals())
