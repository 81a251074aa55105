"""Write the report page of a run and the table of its scores.

**Inputs**

- ``index``, ``fit``, ``calibration``, ``coarse``, ``refined``, ``evaluation``, ``preview``: manifests, lists over
  categories, detectors and splits
- ``check``: JSON of the submission check; empty when the run has no private split

**Outputs**

- ``page``: HTML, opens from the file system without a network; images and data are linked relatively; beside it, in
  ``gallery/``, the scripts of gallery and viewer and what they show of every image
- ``summary``: CSV, one row per category, split and light condition, then the means over the categories

**Params**

- ``settings``: how many of the worst and the best images are shown
- ``run``: name of the run
- ``benchmarks``: folder of the benchmark files; the provenance files lie below its parent
- ``config``: the resolved configuration
"""

from pathlib import Path

from seamark.artifacts import committed_file, committed_folder
from seamark.job import Job, run
from seamark.report.page import ReportFiles, render_page
from seamark.report.viewer import write_galleries
from seamark.settings.report import ReportSettings
from seamark.summary import summary_rows, write_summary


def main(job: Job) -> None:
    """Run the stage."""
    lists = ("index", "fit", "calibration", "coarse", "refined", "evaluation", "preview")
    inputs = ReportFiles(
        **{name: job.paths(name) for name in lists},
        check=next(iter(job.paths("check")), None),
        summary=job.target("summary"),
        run_folder=Path(job.params["benchmarks"]).parent,
    )
    write_summary(job.target("summary"), summary_rows(list(inputs.evaluations.values())))
    page = job.target("page")
    html = render_page(inputs, page, job.params["run"], job.params["config"], job.settings(ReportSettings))
    with committed_folder(page.parent / "gallery") as folder:
        write_galleries(inputs.categories, folder, page.parent)
    with committed_file(page) as draft:
        draft.write_text(html, encoding="utf-8")


run(main, globals())
