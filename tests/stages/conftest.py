"""Shared by the tests of stages."""

import pytest
from tests.stages.masks_run import binarize_job, calibrate, stage, write_tree


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path)


@pytest.fixture
def coarse_tree(tree):
    calibrate(tree)
    stage("binarize")(binarize_job(tree))
    return tree
