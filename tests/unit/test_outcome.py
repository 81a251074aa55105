"""The last words of a run."""

import io
from types import SimpleNamespace

import pytest
from tests.unit.test_evaluation import World

from seamark.manifests.base import write_manifest
from seamark.planning.outcome import print_outcome

LONG = ("aluminium_housing_of_the_front_cover_left", "aluminium_housing_of_the_front_cover_right")


@pytest.mark.parametrize(
    ("categories", "shown"),
    [
        (("woven", "washers"), ["woven", "washers"]),
        (LONG, ["aluminium_hou…nt_cover_left", "aluminium_hou…t_cover_right"]),
    ],
)
def test_the_table_of_verdicts_and_scores_fits_a_hundred_columns(categories, shown, tmp_path):
    paths = [tmp_path / f"out/run/90_eval/{category}.json" for category in categories]
    for path in paths:
        write_manifest(path, World(tmp_path / path.stem, category=path.stem).evaluation())
    made = {"evaluate": [str(path) for path in paths], "binarize": []}
    stream = io.StringIO()
    print_outcome(
        SimpleNamespace(
            name="run",
            out=str(tmp_path / "out/run"),
            expected=dict,
            settings=lambda _: lambda _: {},
            made=lambda stage, split="": lambda _: made[stage],
        ),
        stream,
    )
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    # Of two bad images one is called bad, the other to be looked at, and so is the good one.
    rows = [line.split() for line in lines if " test_public " in line]
    assert sorted(row[0] for row in rows) == sorted([*shown, "mean"])
    assert [row[-6:] for row in rows] == [
        ["1", "of", "2", "0", "of", "1"],
        ["1", "of", "2", "0", "of", "1"],
        ["2", "of", "4", "0", "of", "2"],
    ]
