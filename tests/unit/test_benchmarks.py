"""The history of the benchmarks and the command that runs them all; the benchmarks themselves are not run."""

import ast
import csv
import importlib
from argparse import Namespace
from pathlib import Path

import pytest
from benchmarks import history, run_all

BENCHMARKS = Path(run_all.__file__).parent


def rows_of(table):
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_rows_are_added_with_their_circumstances(tmp_path):
    table = tmp_path / "new" / "some.csv"
    history.append(table, [{"ratio": 2.0}])
    history.append(table, [{"ratio": 3.0, "load": "0.5"}, {"ratio": 4.0}])
    rows = rows_of(table)
    assert [row["ratio"] for row in rows] == ["2.0", "3.0", "4.0"]
    assert rows[1]["load"] == "0.5"
    assert all(row["date"][:2] == "20" and "Python " in row["versions"] and row["processor"] for row in rows)


def test_a_new_column_keeps_the_rows_that_lack_it(tmp_path):
    table = tmp_path / "some.csv"
    history.append(table, [{"old": 1}])
    history.append(table, [{"new": 2}])
    assert [(row["old"], row["new"]) for row in rows_of(table)] == [("1", ""), ("", "2")]


def test_every_benchmark_runs_but_those_that_take_hours_or_runs_of_their_own():
    scripts = {path.stem for path in BENCHMARKS.glob("*.py") if "append(history_of(__file__)" in path.read_text()}
    scripts |= {path.stem for path in BENCHMARKS.glob("*.py") if "default=history_of(__file__)" in path.read_text()}
    assert set(run_all.QUICK) == scripts - {"rehearsal", "forecast", "small_pictures", "bank_size"}


@pytest.mark.parametrize("script", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_what_a_benchmark_imports_of_the_project_is_there(script):
    for node in ast.walk(ast.parse((BENCHMARKS / f"{script}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("seamark.", "tests.")):
            module = importlib.import_module(node.module)
            assert [one.name for one in node.names if not hasattr(module, one.name)] == [], node.module


@pytest.mark.parametrize(
    ("script", "given", "need"),
    [
        ("auc_pro", {}, None),
        ("package_speed", {}, "--folder"),
        ("inference_speed", {"category": "bolt"}, "--runs"),
        ("inference_speed", {"category": "bolt", "runs": ["out/demo"]}, None),
        ("beside_anomalib", {}, "--anomalib"),
    ],
)
def test_a_script_is_left_out_where_its_need_is_not_given(script, given, need):
    options = Namespace(**({"runs": [], "category": None, "folder": None, "anomalib": None} | given))
    assert run_all.missing(script, options) == need


def test_runs_follow_the_options_of_a_script():
    options = Namespace(runs=["out/a", "out/b"], category="bolt", folder=None, anomalib=None)
    words = run_all.command("runtime_and_memory", options)
    assert words[-2:] == ["out/a", "out/b"]
    assert words[words.index("--category") + 1] == "bolt"
