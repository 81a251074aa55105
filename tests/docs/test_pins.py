"""environment.yml offers conda users the pins of constraints.txt."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def constraints():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonical(name): version for name, version in pins}


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(extras=("dev", "docs")):
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*metadata["dependencies"], *(line for name in extras for line in metadata["optional-dependencies"][name])]
    return {canonical(re.match(r"[A-Za-z0-9_.-]+", line)[0]): line for line in listed}


def test_every_requirement_is_pinned():
    assert set(requirements(("dev", "docs", "slurm", "kubernetes"))) - set(constraints()) == set()


def test_environment_offers_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    pins = dict(line.split("==") for line in pip if "==" in line)
    assert {canonical(name): version for name, version in pins.items()} == {
        name: constraints()[name] for name in requirements()
    }
    assert "-e ." in pip
