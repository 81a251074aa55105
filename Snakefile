"""Seamark: from defect-free photographs to defect masks and a checked archive. Only wiring; ideas live in src/seamark."""

import sys

from snakemake.jobs import Job
from snakemake.utils import min_version

min_version("9.0")

sys.path.insert(0, f"{workflow.current_basedir}/src")

from seamark.planning.outcome import mark_pages, print_outcome
from seamark.planning.plan import Plan
from seamark.planning.refusals import scoring_models
from seamark.planning.workflow import (
    explain_changes,
    hide_places,
    keep_results,
    limits,
    offered_gpus,
    pin,
    prepare,
    start,
    tell_refusals,
    told,
    without_effect,
)
from seamark.project import PROJECT

sources = told(prepare, workflow, PROJECT, "config.yaml")


configfile: "config.yaml"


container: "seamark.sif"


keep_results(Job)
explain_changes(Job)
run = told(Plan, config, PROJECT, sources)
RUN = run.out
GPUS = offered_gpus(workflow, run.gpus)
told(pin, run)


wildcard_constraints:
    **run.wildcards,


onstart:
    told(start, workflow, run)


onsuccess:
    print_outcome(run)


onerror:
    mark_pages(run)


if run.config.data.demo:

    include: "rules/demo.smk"


include: "rules/targets.smk"
include: "rules/data.smk"
include: "rules/models.smk"
include: "rules/maps.smk"
include: "rules/masks.smk"
include: "rules/results.smk"


hide_places(workflow)
tell_refusals(workflow)
