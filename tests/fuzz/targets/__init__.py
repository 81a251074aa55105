"""Targets of fuzzing: each turns bytes into the input of one parser; modules are imported when they are needed."""

from importlib import import_module

from tests.fuzz.targets.base import Target

MODULES = {
    "png": "pictures",
    "tiff": "pictures",
    "jpeg": "pictures",
    "bitmap": "pictures",
    "webp": "pictures",
    "map": "pictures",
    "npy": "arrays",
    "manifest": "records",
    "provenance": "records",
    "config": "settings",
    "preset": "settings",
    "settings": "settings",
    "folders": "folders",
    "archive": "submissions",
    "submitted": "submissions",
    "weights": "weights",
    "pickle": "weights",
    "safetensors": "weights",
    "verify": "verification",
    "bundle": "bundles",
}
"""Module of every target by its name."""


def load(name: str) -> Target:
    """Return a target."""
    targets: dict[str, Target] = import_module(f"tests.fuzz.targets.{MODULES[name]}").TARGETS
    return targets[name]
