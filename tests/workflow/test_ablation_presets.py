"""The presets with ablations of single detectors are planned by the command that their beginning gives."""

import re
import shutil

import pytest
import yaml
from tests.workflow import forked_snakemake
from tests.workflow.project import CONFIG, ROOT, Project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Photographs, presets and the user's own file; nothing is run."""
    project = Project.fresh(tmp_path_factory.mktemp("planned"))
    shutil.copytree(ROOT / "presets", project.folder / "presets")
    data = CONFIG["data"] | {"categories": ["bolt"], "splits": ["validation", "test_private"]}
    (project.folder / "data.yaml").write_text(yaml.safe_dump({"data": data}))
    return project


@pytest.mark.parametrize("detector", ["aand", "aurd", "pfadseg", "efficientad"])
def test_the_command_of_an_ablation_plans_all_its_rows(project, detector):
    text = (ROOT / f"presets/ablate_{detector}.yaml").read_text()
    (command,) = re.findall(r"^#   snakemake (.*) -- ablate$", text, re.M)
    result = forked_snakemake.snakemake(
        [*command.split(), "-n", "--", "ablate"], project.folder, project.environment({})
    )
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    assert re.search(r"^ablation +1$", said, re.M)
    assert int(re.search(r"^evaluate +(\d+)$", said, re.M)[1]) == 1 + len(yaml.safe_load(text)["ablate"])
