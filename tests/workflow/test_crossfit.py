"""Cross-fitting in the real flow: which jobs it adds, and that one of them does what it says."""

import re
from collections import Counter

from tests.workflow.project import CATEGORIES, SPLITS, Project

from seamark.manifests.base import read_manifest
from seamark.manifests.model import ModelManifest

TINY = {"detectors": {"constant": {"bump": 1.0}}, "fuse": {"members": ["constant"]}}


def jobs(project, *options):
    """Number of jobs per rule that a dry run announces."""
    result = project.snakemake("submission", options=("-n", *options))
    return Counter({rule: int(n) for rule, n in re.findall(r"^(\w+)\s+(\d+)$", result.stdout + result.stderr, re.M)})


def test_folds_add_their_trainings_and_one_split_and_nothing_else(tmp_path):
    project = Project.fresh(tmp_path)
    project.configure(TINY)
    plain = jobs(project)
    assert plain["train_fold"] == 0
    project.configure({"crossfit": {"folds": 3}, "binarize": {"normal": "validation_and_crossfit"}})
    more = len(CATEGORIES)
    once = dict.fromkeys(("crop", "infer", "merge", "fuse", "calibrate"), more)
    added = Counter(train_fold=3 * more, **once, total=8 * more)
    assert jobs(project) == plain + added
    assert plain["binarize"] == more * len(SPLITS)
    project.snakemake("out/tiny/20_models/constant/bolt/fold_2/fit.json")
    fit = read_manifest(project.out / "20_models/constant/bolt/fold_2/fit.json", ModelManifest)
    assert fit.left_out == ("001_regular",)
