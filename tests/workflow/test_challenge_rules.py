"""Challenge rules refuse a submission when it is planned; the documented verdicts are those of the presets."""

import re

import pytest
import yaml
from tests.workflow.project import ROOT, Project
from tests.workflow.test_presets import CATEGORIES, draw_names, plan

from seamark.planning.plan import Plan

TABLE = re.compile(r"^\| `?([\w ,]+?)`? \| (kept|\d+ broken) \|(.*)\|$", re.MULTILINE)


def refused(project, target):
    result = project.snakemake(target, options=("-n",), check=False)
    assert result.returncode != 0
    return result.stdout + result.stderr


def test_a_breach_refuses_the_submission_when_it_is_planned(tmp_path):
    project = Project.fresh(tmp_path)
    broken = {"binarize": {"mebin": {"enabled": True}}, "overrides": {"bolt": {"refine": {"method": "none"}}}}
    project.configure({**broken, "package": {"rules": "vand4"}})
    for target in ("submission", "submissions/tiny.tar.gz"):
        text = refused(project, target)
        assert "package.rules: vand4 refuses these settings:" in text
        assert 'refine.method (one_setting_for_all): "none" for bolt and "grabcut" for cloth' in text
        assert "binarize.mebin.enabled (thresholds_without_test): true" in text
    assert "75_verdicts" in project.snakemake("masks", options=("-n",)).stdout
    project.configure({**broken, "package": {"rules": "vand3"}})
    project.snakemake("submission", options=("-n",))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mvtec_ad_2")
    draw_names(folder, CATEGORIES)
    return folder


def verdicts(root, presets):
    """The demo has its own categories, presets are for those of MVTec AD 2."""
    demo = Plan(yaml.safe_load((ROOT / "config.yaml").read_text()), ROOT) if presets == ["demo"] else None
    return {verdict["challenge"]: verdict for verdict in (demo or plan(root, *presets)).challenges()}


def test_the_documentation_knows_the_verdict_of_every_preset(root):
    rows = TABLE.findall((ROOT / "docs/challenge_rules.md").read_text())
    listed = {row[0] for row in rows}
    presets = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "presets").glob("*.yaml")}
    runs = {name for name, settings in presets.items() if set(settings) - {"run", "ablate", "compare"}}
    assert {"demo", *runs} <= {name.rpartition(", ")[2] for name in listed}
    for names, verdict, settings in rows:
        found = verdicts(root, names.split(", "))
        assert found["vand3"]["breaches"] == []
        breaches = [breach["setting"] for breach in found["vand4"]["breaches"]]
        assert re.findall(r"`([\w.]+)`", settings) == breaches, names
        assert verdict == (f"{len(breaches)} broken" if breaches else "kept"), names
