"""Seamark from a wheel, without a clone: in an environment of its own that borrows only the dependencies."""

import os
import shutil
import subprocess
import sys
import venv

import pytest
import yaml
from tests.workflow.project import CONFIG, ROOT, draw_data

FOLDERS = ("src", "rules", "captions", "stages", "presets", "profiles")
FILES = ("Snakefile", "config.yaml", "setup.py", "pyproject.toml", "README.md", "LICENSE")
CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"SEAMARK_GPUS": ""}
TINY = {"detectors": {"constant": {"bump": 1.0}}, "fuse": {"members": ["constant"]}}


def pip(*arguments):
    options = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], env=CLEAN | options, check=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Folder of the commands of a new environment with Seamark in it."""
    folder = tmp_path_factory.mktemp("installed")
    clone = folder / "clone"
    clone.mkdir()
    for name in (*FOLDERS, *FILES):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, clone / name)
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder, clone)
    shutil.rmtree(clone)
    venv.create(folder / "venv")
    pip("--python", folder / "venv/bin/python", "install", "--no-compile", *folder.glob("*.whl"))
    site = next((folder / "venv").glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text("\n".join(path for path in sys.path if "site-packages" in path))
    return folder / "venv/bin/seamark"


def run(script, folder, *arguments):
    (folder / "tiny.yaml").write_text(yaml.safe_dump(CONFIG | TINY))
    command = [script, "run", "--cores", "1", *arguments]
    return subprocess.run(command, check=False, cwd=folder, env=CLEAN, capture_output=True, text=True)


def test_a_preset_is_found_and_planned_from_any_folder(installed, tmp_path):
    result = run(installed, tmp_path, "-n", "--configfile", "presets/small_backbone.yaml", "--", "plan")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "plan.json" in result.stdout + result.stderr


@pytest.mark.slow
def test_photographs_become_masks(installed, tmp_path):
    draw_data(tmp_path)
    result = run(installed, tmp_path, "--configfile", "tiny.yaml", "--", "out/tiny/60_coarse/bolt/test_public.json")
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(list((tmp_path / "out/tiny/60_coarse/bolt/test_public").iterdir())) == 2
