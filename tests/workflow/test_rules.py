"""The rules do what the table of stages says: what they read and make, with which settings, memory and threads."""

import re

import pytest
from tests.workflow.project import ROOT

from seamark.flow import STAGES, Source, work_of
from seamark.teachers.naming import teacher_path

TEXT = "\n\n".join(path.read_text() for path in [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))])


def all_rules():
    """Directives of every rule by its name; a rule that uses another one has that one's, too."""
    found = {}
    for base, name, body in re.findall(r"^(?:use )?rule (\w+)(?: as (\w+) with)?:\n(.*?)(?=^\S|\Z)", TEXT, re.M | re.S):
        own = dict(re.findall(r"^    (\w+):\s*(.*?)\s*(?=^    \w|\Z)", body, re.M | re.S))
        found[name or base] = found.get(base, {}) | own
    return found


RULES = {name: rule for name, rule in all_rules().items() if "script" in rule}
ON_EVERY_RULE = pytest.mark.parametrize("name", RULES)


def test_every_stage_has_a_row_a_rule_and_a_script():
    assert set(RULES) == set(STAGES)
    assert {work_of(name) for name in RULES} == {path.stem for path in (ROOT / "stages").glob("*.py")}


def test_the_rules_have_no_ideas():
    assert "lambda" not in TEXT
    assert "directory(" not in TEXT
    assert len((ROOT / "Snakefile").read_text().splitlines()) <= 120


@ON_EVERY_RULE
def test_a_rule_is_complete(name):
    rule, makes_nothing = RULES[name], not STAGES[name].outputs
    assert rule["script"] == f'"../stages/{work_of(name)}.py"'
    assert rule["log"] == f'run.log("{name}"),'
    assert rule.get("benchmark") == (None if makes_nothing else f'run.benchmark("{name}")')
    assert makes_nothing or f'code=run.code("{work_of(name)}"),' in rule["params"]
    assert rule["message"]


@ON_EVERY_RULE
def test_a_rule_makes_what_its_row_says(name):
    output = RULES[name].get("output", "").replace("{RUN}", "out/{run}")
    output = output.replace("{run.name}", "{run}").replace("{run.root}", "{root}").replace("{{", "{").replace("}}", "}")
    output = re.sub(r"^            (caption|category|subcategory)=.*\n", "", output, flags=re.MULTILINE)
    found = re.findall(r'^ *(\w+)=\w*\(?\s*f?"([^"]+)"\)?,', output, re.MULTILINE)
    assert found == list(STAGES[name].outputs.items())
    assert output.count("=") == len(found)


@ON_EVERY_RULE
def test_a_rule_reads_what_its_row_says(name):
    made = r'run\.made\(\s*"(\w+)"(?:, "(\w+)")?(?:, (?:split=)?"(\w+)")?\s*\)'
    read = re.findall(made, RULES[name].get("input", ""))
    assert {Source(*filter(None, (stage, split))) for stage, _, split in read} == set(STAGES[name].sources)
    assert RULES[name].get("input", "").count("run.made(") == len(read)
    assert all(output in STAGES[stage].outputs for stage, output, _ in read if output)


@ON_EVERY_RULE
def test_a_rule_has_the_settings_of_its_row(name):
    stage, params = STAGES[name], RULES[name]["params"]
    assert set(re.findall(r'=run\.settings\("(\w+)"\)', params)) == set(stage.settings)
    assert not stage.settings or f'settings=run.settings("{stage.settings[0]}"),' in params


@ON_EVERY_RULE
def test_a_rule_takes_what_its_row_says(name):
    stage, rule = STAGES[name], RULES[name]
    wanted = f'run.threads("{work_of(name)}", GPUS)' if stage.gpu_threads else str(stage.threads)
    assert rule.get("threads", "1") == wanted
    memory = "run.forecast.measuring" if name == "plan" else f'run.memory("{work_of(name)}")'
    assert f"mem_mb={memory}," in rule["resources"]
    assert ("gpu=" in rule["resources"]) == (name == "plan" or stage.gpu_threads > 0)


def test_teachers_lie_where_detectors_look_for_them():
    for suffix in (".json", ".safetensors"):
        assert teacher_path("{teacher}", suffix) in STAGES["distill"].outputs.values()
