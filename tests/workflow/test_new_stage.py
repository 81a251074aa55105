"""A new stage is a rule, a script and a row: everything else follows from these."""

import json
import os
import re
import subprocess
import sys

from tests.workflow.project import OWN_WORDS

ROW = """
    "halve": Stage(
        _files("out/{place}/47_halved/{category}/{split}.json"),
        kind="maps:MapsManifest",
        reads="fuse",
        params="calibrate",
        memory=StageMemory(90.0),
    ),
"""
RULE = """

rule halve:
    input:
        maps=run.made("fuse"),
    output:
        manifest="out/{place}/47_halved/{category}/{split}.json",
    log:
        run.log("halve"),
    benchmark:
        run.benchmark("halve")
    resources:
        mem_mb=run.memory("halve"),
    params:
        settings=run.settings("calibrate"),
        code=run.code("halve"),
    message:
        "Halving the maps of {wildcards.category} {wildcards.split}"
    script:
        "../stages/halve.py"
"""
SCRIPT = '''
"""Halve the scores of all maps."""

from seamark.files.atomic import atomic_folder
from seamark.files.images import read_map
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.maps import MapsManifest
from seamark.maps.stored import save_map
from seamark.running.job import Job, run


def main(job: Job) -> None:
    fused, target = read_manifest(job.path("maps"), MapsManifest), job.target("manifest")
    with atomic_folder(target.with_suffix("")) as folder:
        halved = [
            save_map(
                folder,
                fused.split,
                record.id,
                read_map(job.path("maps").parent / record.file) / 2,
                (record.image_height, record.image_width),
            )
            for record in fused.maps
        ]
    write_manifest(target, fused.model_copy(update={"maps": tuple(halved)}))


run(main, globals())
'''
KNOWN = """
import json, sys, yaml
from pathlib import Path
from seamark.planning.jobs import StageJob
from seamark.planning.plan import Plan
from seamark.report.cost import read_costs
from seamark.settings.config import deep_merge

run = Plan(deep_merge(*(yaml.safe_load(Path(name).read_text()) for name in ("config.yaml", "tiny.yaml"))), Path())
job = StageJob("halve", "bolt", "validation")
made = [path for stage in ("47_halved", "50_calibration") for path in Path("out/tiny", stage).rglob("*.json")]
facts = {
    "places": {row.name: run.jobs.owner(row.place, job) for row in run.variations},
    "costs": [stage.stage for stage in read_costs(Path("out/tiny"), made).stages],
    "expected": [path for path in run.expected() if "47_halved" in path],
}
print(json.dumps(facts))
"""


def add(path, text, before=None):
    whole = path.read_text()
    place = whole.index(before) if before else len(whole)
    path.write_text(whole[:place] + text.lstrip("\n" if before else "") + whole[place:])


def test_a_stage_is_a_rule_a_script_and_a_row(project):
    ablate = {"rougher": {"merge": {"smooth_sigma_px": 0.0}}, "unrefined": {"refine": {"method": "none"}}}
    project.configure({"ablate": ablate})
    add(project.folder / "rules/maps.smk", RULE)
    add(project.folder / "src/seamark/flow.py", ROW, before='    "calibrate": Stage(')
    (project.folder / "stages/halve.py").write_text(SCRIPT.lstrip())

    made = [f"out/{place}/47_halved/bolt/validation.json" for place in ("tiny", "tiny+rougher")]
    said = project.snakemake(*made, options=OWN_WORDS).stderr
    assert [said.count(text) for text in ("Scoring the tiles", "Merging the tile maps", "Halving")] == [0, 1, 2]
    assert "Nothing to be done" in project.snakemake(*made).stderr

    environment = os.environ | {"PYTHONPATH": str(project.folder / "src")}
    answer = subprocess.run(
        [sys.executable, "-c", KNOWN], cwd=project.folder, env=environment, capture_output=True, text=True, check=True
    )
    known = json.loads(answer.stdout)
    assert known["places"] == {"tiny": "tiny", "rougher": "tiny+rougher", "unrefined": "tiny"}
    place = known["costs"].index("halve")
    assert known["costs"][place - 1 : place + 2] == ["fuse", "halve", "calibrate"]
    assert {re.sub(r"/(bolt|cloth)/\w+", "", path) for path in known["expected"]} == {
        "out/tiny/47_halved.json",
        "out/tiny+rougher/47_halved.json",
    }

    (next((project.out / "47_halved/bolt").rglob("*.tiff"))).write_bytes(b"")
    found = project.snakemake("verify", check=False)
    assert re.search(r"47_halved/bolt/\S+\.tiff .* -f out/tiny/47_halved/bolt/validation\.json", found.stdout)
