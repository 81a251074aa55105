"""Every check of docs/methods/robis.md#checks is at least one test whose name begins with its code."""

import ast
from pathlib import Path

import pytest

CODES = [
    f"{group}{number}"
    for group, last in (("c", 6), ("a", 4), ("n", 13), ("m", 3), ("e", 8), ("s", 5))
    for number in range(1, last + 1)
]


def names_of_tests():
    """Names of all test functions beside this file."""
    files = sorted(Path(__file__).parent.glob("test_*.py"))
    trees = [ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in files]
    return {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_a_test(code):
    assert [name for name in names_of_tests() if name.startswith(f"test_{code}_")]
