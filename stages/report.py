"""Write the report page of a run and the table of its scores.

**Inputs**

- ``inventory``, ``index``, ``fit``, ``calibration``, ``coarse``, ``refined``, ``verdicts``, ``evaluation``,
  ``preview``: manifests, lists over categories, detectors and splits
- ``curves``: threshold curves (CSV), one per evaluation
- ``check``: JSON of the submission check; empty when the run has no private split

**Outputs**

- ``page``: HTML, opens from the file system without a network; images and data are linked relatively; beside it, in
  ``gallery/``, the scripts of gallery and viewer and what they show of every image, and ``stale.js``, still empty
- ``plots``: ``PlotsManifest`` (JSON); beside it the figures as SVG and PNG and the CSV behind each
- ``scores``: SVG, one of the figures: the scores of all categories, or why there are none
- ``summary``: CSV, one row per category, split and light condition, then the means over the categories
- ``verdicts``: CSV, the verdict on every image

**Params**

- ``settings``: how many of the worst and the best images are shown
- ``run``: name of the run
- ``benchmarks``: folder of the benchmark files; the provenance files lie below its parent
- ``config``: the resolved configuration
"""

from pathlib import Path

from seamark.evaluation.summary import summary_rows, write_summary
from seamark.files.atomic import atomic_siblings
from seamark.manifests.base import write_manifest
from seamark.masks.verdict_table import write_verdicts
from seamark.report.page import render_page
from seamark.report.plots import category_figures, run_plots, write_plots
from seamark.report.run_files import ReportFiles
from seamark.report.viewer import write_galleries
from seamark.running.job import Job, run
from seamark.settings.report import ReportSettings
from seamark.verification.staleness import mark_page


def main(job: Job) -> None:
    """Run the stage."""
    lists = ("inventory", "index", "fit", "calibration", "coarse", "refined", "verdicts", "evaluation", "preview")
    inputs = ReportFiles(
        **{name: job.paths(name) for name in (*lists, "curves")},
        check=next(iter(job.paths("check")), None),
        summary=job.target("summary"),
        verdict_table=job.target("verdicts"),
        run_folder=Path(job.params["benchmarks"]).parent,
    )
    evaluations, plots, page = list(inputs.evaluations.values()), job.target("plots"), job.target("page")
    gallery, settings = page.parent / "gallery", job.settings(ReportSettings)
    with atomic_siblings(page, gallery, plots.parent) as drafts:
        new_plots, new_gallery = drafts / plots.parent.name / plots.name, drafts / gallery.name
        for folder in (new_plots.parent, new_gallery):
            folder.mkdir()
        drawn = write_plots(new_plots.parent, run_plots(category_figures(inputs), evaluations, inputs.cost))
        write_manifest(new_plots, drawn)
        write_galleries(inputs.categories, new_gallery, page.parent)
        html = render_page(inputs, page, job.params["run"], job.params["config"], settings, plots=new_plots)
        (drafts / page.name).write_text(html, encoding="utf-8")
        write_summary(job.target("summary"), summary_rows(evaluations))
        write_verdicts(job.target("verdicts"), inputs.judged.values())
    mark_page(page, "")


run(main, globals())
