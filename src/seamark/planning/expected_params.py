"""What the configuration of now asks of artifacts that an earlier call may have made. Free of NumPy, as planning is."""

import re
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from seamark.planning.flow import STAGES
from seamark.planning.plan import Plan
from seamark.planning.variations import plain
from seamark.teachers.naming import teacher_path

_WITH_CONSTRAINT = re.compile(r"\{(\w+),.*?\}(?=[/.]|$)")
"""A wildcard as Snakemake writes it into the patterns of a rule: with what it may stand for."""


def manifest_patterns(rules: Iterable[Any]) -> dict[str, str]:
    """Return the manifest of every rule that has one, with its wildcards.

    Parameters
    ----------
    rules : iterable of Snakemake's rules
        Of the workflow.

    Returns
    -------
    dict of str to str
        By name of the rule.
    """
    outputs = {rule.name: dict(rule.output.items()) for rule in rules}
    return {
        name: _WITH_CONSTRAINT.sub(r"{\1}", str(files["manifest"]))
        for name, files in outputs.items()
        if "manifest" in files
    }


def expected_params(plan: Plan, rules: Iterable[Any]) -> Callable[[Any], dict[str, dict[str, Any]]]:
    """Return a params function that gives the settings and the code from which artifacts would be made now.

    Parameters
    ----------
    plan : Plan
        The run and its variations.
    rules : iterable of Snakemake's rules
        Of the workflow.

    Returns
    -------
    callable
        Takes wildcards, returns ``settings`` and ``code`` by path of the manifest.
    """
    patterns = manifest_patterns(rules)

    def expected(_wildcards: Any) -> dict[str, dict[str, Any]]:
        jobs: dict[str, dict[str, Any]] = {
            teacher_path(key, ".json"): {
                "settings": plain(teacher),
                "code": plan.code("distill")(SimpleNamespace(teacher=key)),
            }
            for key, teacher in plan.teachers.items()
        }
        for variation in plan.variations:
            for job in plan.shared.jobs_behind(variation.place, STAGES, plan.categories):
                if plan.shared.owner(variation.place, job) == variation.place:
                    wildcards = {"place": variation.place, **job._asdict()}
                    path = patterns[job.stage].format(**wildcards)
                    settings = variation.settings(STAGES[job.stage].settings[0], job)
                    jobs[path] = {"settings": settings, "code": plan.code(job.stage)(SimpleNamespace(**wildcards))}
        return jobs

    return expected
