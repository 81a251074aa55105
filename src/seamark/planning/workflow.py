"""All that Seamark takes from Snakemake beyond what its documentation promises: tested with the pinned version."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from seamark.errors import SeamarkError
from seamark.flow import STAGES
from seamark.planning.changes import changed_params
from seamark.planning.environment import pin_loops, prepare_environment
from seamark.planning.plan import Plan
from seamark.planning.settings_files import read_sources
from seamark.repair import export_configuration
from seamark.running.progress import DISPLAY
from seamark.settings.written import Sources

Result = TypeVar("Result")


def prepare(workflow: Any, project: Path, default: str) -> Sources:
    """Set what all jobs inherit, the environment and the options with which Snakemake was called; read its settings.

    ``default`` is the file over which all others are laid.

    Returns
    -------
    Sources
        The files of settings, for messages.

    Raises
    ------
    ConfigError
        If a key stands twice, or a file of settings is not what it should be.
    """
    prepare_environment(project, on_node=workflow.remote_exec)
    given = workflow.config_settings
    export_configuration(given.configfiles, given.config_args or ())
    return read_sources(given.configfiles, given.config_args or (), given.overwrite_config, Path(default))


def offered_gpus(workflow: Any, visible: int) -> int:
    """Return the GPUs that jobs may use: those of ``--resources gpu``, otherwise those that are visible."""
    if "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", visible)
    return int(workflow.global_resources["gpu"].value)


def pin(run: Plan) -> None:
    """Name the loops that jobs take where the run is to be the same on other processors.

    Raises
    ------
    ConfigError
        If this processor lacks them.
    """
    sys.stderr.write("".join(f"warning: {text}\n" for text in pin_loops(run.config.reproducible)))


def limits(workflow: Any, run: Plan) -> dict[str, Any]:
    """Return what Snakemake may use, ready for JSON."""
    return run.forecast.limits(workflow.global_resources, local=workflow.local_exec)


def start(workflow: Any, run: Plan) -> None:
    """Refuse a run that would fail later, for want of weights, memory or disk; then hold its folder, and warn.

    Raises
    ------
    SeamarkError
        With everything that is missing, or if another Snakemake works on the same run.
    """
    jobs = list(workflow.dag.needrun_jobs())
    run.require_weights(jobs)
    run.forecast.require_room(jobs, workflow.global_resources, local=workflow.local_exec)
    run.claim_run_folder()
    warnings = list(run.photographs.warnings)
    if run.config.reproducible == "any_cpu" and workflow.global_resources["gpu"].value:
        warnings.append("reproducible: any_cpu holds for no network on a GPU; --resources gpu=0 keeps to the CPU")
    _show(workflow, jobs)
    sys.stderr.write("".join(f"warning: {text}\n" for text in warnings))


def _show(workflow: Any, jobs: Iterable[Any]) -> None:
    """Hand the jobs that are to run to the logger plugin, if it is Seamark's and shows this run."""
    ordered = sorted((job for job in jobs if job.rule.name in STAGES), key=lambda job: [*STAGES].index(job.rule.name))
    planned = {
        job.jobid: {
            "stage": job.rule.name,
            "label": " ".join([job.rule.name, *(word for name, word in job.wildcards.items() if name != "place")]),
            "category": str(getattr(job.wildcards, "category", "")),
            "seconds": _earlier_seconds(str(job.benchmark)) if job.benchmark else None,
        }
        for job in ordered
    }
    for handler in workflow.logger_manager.get_log_handlers():
        if hasattr(handler, "begin") and handler.begin(planned) and workflow.local_exec:
            os.environ[DISPLAY] = "yes"


def _earlier_seconds(benchmark: str) -> float | None:
    """Return what a job took when it last ran, as Snakemake measured it."""
    try:
        return float(Path(benchmark).read_text(encoding="utf-8").splitlines()[1].split()[0])
    except (OSError, ValueError, IndexError):
        return None


def explain_changes(job_class: Any) -> None:
    """Let jobs that run because a param has changed name the setting or file, and not all params of before and now.

    Parameters
    ----------
    job_class : type
        Snakemake's class of jobs, which changes for all of this process.
    """
    tell = job_class.log_info

    def told(job: Any, *arguments: Any, **others: Any) -> None:
        reason = job.dag.reason(job)
        if job.output and (new := getattr(reason.params_changed, "only_new", None)):  # a text, where it was told before
            now = {name: value for name, value in job.params.items() if repr(value) in new}
            reason.params_changed = changed_params(job.rule.name, job.wildcards, now, job.output, job.log)
        tell(job, *arguments, **others)

    job_class.log_info = told


def without_effect(value: Any) -> Callable[..., Any]:
    """Return a params function for what decides no result: changed, it makes nothing again.

    Where photographs and masks lie is such a thing, as jobs have a digest of their names, sizes and times besides; so
    is a limit beyond which they are refused. Braces in a text are no wildcards. Snakemake compares no params of a
    function that asks for threads.
    """
    return lambda _wildcards, threads: value  # noqa: ARG005  # its name is what counts


def told(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function of the Snakefile; what it refuses ends the call with its message alone, without a trace."""
    try:
        return function(*arguments)
    except SeamarkError as error:
        sys.exit(f"\n{error}")


def tell_refusals(workflow: Any) -> None:
    """Let what the functions of all rules refuse end the call with its message alone, without Snakemake's trace."""
    for rule in workflow.modifier.rules:  # not those of a workflow that has Seamark as a module
        rule.apply_input_function = _telling(rule.apply_input_function)


def _telling(apply: Callable[..., Any]) -> Callable[..., Any]:
    def told(*arguments: Any, **others: Any) -> Any:
        try:
            return apply(*arguments, **others)
        except Exception as error:
            if isinstance(error.__context__, SeamarkError):
                sys.exit(str(error.__context__))
            raise

    return told


def hide_places(workflow: Any) -> None:
    """Hide from the scripts of all rules at which place they work.

    The seed of a job depends on its wildcards. A job gives the same bytes at any place, so that a variation ends as a
    run of the same settings does.
    """
    for rule in workflow.modifier.rules:  # not those of a workflow that has Seamark as a module
        if "place" in rule.wildcard_names:
            rule.run_func = _without_place(rule.run_func)


def _without_place(run: Callable[..., None]) -> Callable[..., None]:
    """Wrap what Snakemake calls for a job: with input, output, params, wildcards and more."""

    def run_anywhere(inputs: Any, outputs: Any, params: Any, wildcards: Any, *others: Any) -> None:
        kept = {name: value for name, value in wildcards.items() if name != "place"}
        run(inputs, outputs, params, type(wildcards)(fromdict=kept), *others)

    return run_anywhere


def keep_results(job_class: Any) -> None:
    """Let earlier results stay in their place until a job has renamed its own there, and let one that failed keep them.

    Snakemake marks the outputs of a job that it starts as incomplete, and whatever bears that mark is made again by the
    next call. It would delete them before the job; after an error it would record them as made by it, wipe the mark out
    and delete them.

    Parameters
    ----------
    job_class : type
        Snakemake's class of jobs, which changes for all of this process.
    """
    finish = job_class.postprocess

    async def empty_logs(job: Any) -> None:
        for log in _there(job.log):  # not deleted, as an orphaned job may hold its lock
            os.truncate(log, 0)

    async def keep_those_of_failed(job: Any, *arguments: Any, error: bool = False, **others: Any) -> None:
        if not error:
            await finish(job, *arguments, **others)
            return
        job.dag.workflow.persistence.started(job)
        await job.dag.handle_log(job)
        await job.dag.handle_storage(job, store_only_log=True)
        if kept := _there(job.output):
            sys.stderr.write(f"{job} failed; as earlier jobs left them, and to be made again: {', '.join(kept)}\n")

    job_class.remove_existing_output, job_class.postprocess = empty_logs, keep_those_of_failed


def _there(files: Iterable[str]) -> list[str]:
    return [file for file in files if Path(file).exists()]
