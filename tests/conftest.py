"""Shared by all tests."""

import os

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_addoption(parser):
    parser.addoption("--fix", action="store_true", help="rewrite generated files instead of failing")


@pytest.fixture
def fix(request):
    return request.config.getoption("--fix")
