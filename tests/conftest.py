"""Shared by all tests."""

import os

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

OPTIONAL = {
    "slow": ("takes long", "are marked slow"),
    "slurm": ("installs and starts SLURM on this machine", "start a SLURM on this machine"),
}
"""Markers of tests that run only when asked for: why, and what their option does."""


def pytest_addoption(parser):
    parser.addoption("--fix", action="store_true", help="rewrite generated files instead of failing")
    for marker, (_, what) in OPTIONAL.items():
        parser.addoption(f"--{marker}", action="store_true", help=f"run the tests that {what} too")


def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: item.path.parent.name != "workflow")  # the longest first: workers end together
    for marker, (reason, _) in OPTIONAL.items():
        if config.getoption(f"--{marker}"):
            continue
        for item in items:
            if marker in item.keywords:
                item.add_marker(pytest.mark.skip(reason=f"{reason}; run with --{marker}"))


@pytest.fixture
def fix(request):
    return request.config.getoption("--fix")
