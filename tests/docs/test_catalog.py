"""Keys that the catalog of Snakemake workflows asks of a repository that it lists under standardized usage."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_catalog_finds_workflow_configuration_and_usage():
    """Its keys are those of its page on adding workflows; it passes over misspelt ones in silence."""
    assert (ROOT / "workflow/Snakefile").is_file()
    assert (ROOT / "config/README.md").read_text().startswith("#")
    assert {"snakemake", "workflow"} <= set((ROOT / "README.md").read_text().lower().split())
    told = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    usage = told["usage"]
    assert (set(told), set(usage)) == ({"usage"}, {"mandatory-flags", "software-stack-deployment", "report"})
    flags, deployment = usage["mandatory-flags"], usage["software-stack-deployment"]
    assert {name: type(value) for name, value in flags.items()} == {"desc": str, "flags": str}
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda"}
    assert {type(value) for value in (*deployment.values(), usage["report"])} == {bool}
