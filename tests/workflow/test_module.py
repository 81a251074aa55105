"""Seamark as a module of another workflow: from a folder, and from a repository beside the installed package."""

import os
import shutil
import subprocess

import pytest
import yaml
from tests.workflow import forked_snakemake
from tests.workflow.project import CONFIG, ROOT, draw_data

OTHER = """
configfile: "config.yaml"


rule all:
    input:
        "counted/here.txt",


rule count:
    input:
        "out/tiny/00_index/bolt/train.json",
    output:
        "counted/{place}.txt",
    run:
        Path(output[0]).write_text(wildcards.place)


module seamark:
    snakefile:
        SNAKEFILE
    config:
        config["seamark"]


use rule * from seamark


onstart:
    seamark.onstart()


onsuccess:
    seamark.onsuccess()
"""


def in_folder(folder):
    return repr(str(ROOT / "workflow/Snakefile")), {}


def in_repository(folder):
    """A repository that git takes for one of GitHub."""
    repository = folder / "hosts/some/seamark.git"
    for name in ("workflow", "rules", "captions", "stages"):
        shutil.copytree(ROOT / name, repository / name)
    shutil.copy(ROOT / "Snakefile", repository)
    git = ("git", "-C", repository, "-c", "user.name=a", "-c", "user.email=a@b")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"], ["tag", "v1"]):
        subprocess.run([*git, *words], check=True)
    instead = {"GIT_CONFIG_KEY_0": f"url.file://{folder}/hosts/.insteadOf", "GIT_CONFIG_VALUE_0": "https://github.com/"}
    package = {"PYTHONPATH": str(ROOT / "src"), "XDG_CACHE_HOME": str(folder / "cache"), "GIT_CONFIG_COUNT": "1"}
    return 'github("some/seamark", path="workflow/Snakefile", tag="v1")', instead | package


@pytest.mark.parametrize("source", [in_folder, in_repository])
def test_rules_work_in_another_workflow(source, tmp_path):
    draw_data(tmp_path)
    snakefile, environment = source(tmp_path)
    (tmp_path / "Snakefile").write_text(OTHER.replace("SNAKEFILE", snakefile))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"mine": 1, "seamark": CONFIG}))
    result = forked_snakemake.snakemake(["--cores", "1"], tmp_path, os.environ | environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "counted/here.txt").read_text() == "here"
    assert (tmp_path / "out/tiny/00_index/bolt/train.json").is_file()
