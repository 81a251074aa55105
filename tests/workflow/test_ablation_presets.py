"""Every preset of an ablation is planned by the command that its beginning gives."""

import re
import shutil

import pytest
import yaml
from tests.workflow import forked_snakemake
from tests.workflow.project import CONFIG, ROOT, Project, draw

PRESETS = sorted(path.stem for path in (ROOT / "presets").glob("ablate_*.yaml"))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Photographs, presets and the user's own files; nothing is run."""
    project = Project.fresh(tmp_path_factory.mktemp("planned"))
    shutil.copytree(ROOT / "presets", project.folder / "presets")
    data = {"data": CONFIG["data"] | {"categories": ["bolt"], "splits": ["validation", "test_private"]}}
    for number in range(2, 5):  # thresholds over validation want some
        draw(project.folder / f"photographs/bolt/validation/good/{number:03d}_regular.png", number, defect=False)
    for name in ("data.yaml", "presets/own_photographs.yaml"):
        (project.folder / name).write_text(yaml.safe_dump(data))
    return project


@pytest.mark.parametrize("preset", PRESETS)
def test_the_command_of_an_ablation_plans_it(project, preset):
    text = (ROOT / f"presets/{preset}.yaml").read_text()
    (command,) = re.findall(r"^#   snakemake (.*) -- ablate$", text, re.M)
    result = forked_snakemake.snakemake(
        [*command.split(), "-n", "--", "ablate"], project.folder, project.environment({})
    )
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    assert re.search(r"^ablation +1$", said, re.M)
    rows = yaml.safe_load(text)["ablate"]
    assert int(re.search(r"^evaluate +(\d+)$", said, re.M)[1]) == 1 + len(rows)
