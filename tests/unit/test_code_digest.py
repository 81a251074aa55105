import shutil
from pathlib import Path

import pytest

from seamark.planning import code_digest as module

A = '''"""A."""
from seamark import words
from seamark.b import two
from seamark.running import job


def one():
    """One."""
    return two()  # why
'''
WORDS = """
import logging
from pydantic import Field
from seamark.weights.published import LICENCE

LOG = logging.getLogger("seamark")
TILES = Field(4, description="number of tiles")


def check(size):
    if size > 9:
        raise ValueError(f"{size}: too large")
    LOG.info("%d of %d", size, 9)
"""


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A tiny package: stage -> a -> b, with c unused."""
    package = tmp_path / "seamark"
    package.mkdir()
    files = {
        "a.py": A,
        "b.py": "def two():\n    return 2\n",
        "c.py": "THREE = 3\n",
        "words.py": WORDS,
        "running/job.py": "RUNS = 1\n",
        "weights/published.py": "LICENCE = 'Apache-2.0'\n",
        "settings/seeds.py": "SEED = 1\n",
        "report/page.py": "PAGE = 1\n",
        "report/style.css": "body {}",
    }
    for name, text in files.items():
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text(text)
    script = tmp_path / "stage.py"
    script.write_text("from seamark.a import one\n\none()\n")
    monkeypatch.setattr(module, "PACKAGE_ROOT", package)
    return package, script


def digest(script: Path, extra: tuple[str, ...] = ()) -> str:
    return module.code_digest(script, extra)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("a.py", "# why", "# because"),
        ("a.py", '"""One."""', '"""The one."""'),
        ("b.py", "return 2", "return  (2)"),
        ("c.py", "3", "4"),
        ("words.py", "too large", "larger than it may be"),
        ("words.py", "%d of", "%d out of"),
        ("words.py", "number of tiles", "how many tiles"),
        ("running/job.py", "1", "2"),
        ("weights/published.py", "Apache-2.0", "MIT"),
    ],
)
def test_comments_docstrings_layout_and_unused_modules_do_not_count(tree, file, old, new):
    package, script = tree
    before = digest(script)
    edit(package / file, old, new)
    assert digest(script) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("a.py", "return two()", "return two() + 1"),
        ("b.py", "2", "3"),
        ("words.py", "ValueError", "TypeError"),
        ("words.py", "size > 9", "size > 8"),
        ("words.py", "Field(4", "Field(5"),
    ],
)
def test_code_of_imported_modules_counts(tree, file, old, new):
    package, script = tree
    before = digest(script)
    edit(package / file, old, new)
    assert digest(script) != before


def test_the_script_itself_counts(tree):
    _, script = tree
    before = digest(script)
    edit(script, "one()\n", "one()\none()\n")
    assert digest(script) != before


def test_what_seeds_come_from_counts_where_a_script_reads_its_seed(tree):
    package, script = tree
    before = digest(script)
    edit(package / "settings" / "seeds.py", "1", "2")
    assert digest(script) == before
    edit(script, "one()\n", "one()\njob.seed\n")
    before = digest(script)
    edit(package / "settings" / "seeds.py", "2", "3")
    assert digest(script) != before


def test_modules_named_by_hand_count(tree):
    package, script = tree
    before = digest(script, ("seamark.c",))
    assert before != digest(script)
    edit(package / "c.py", "3", "4")
    assert digest(script, ("seamark.c",)) != before


def test_templates_beside_an_imported_module_count(tree):
    package, script = tree
    edit(script, "import one", "import one\nfrom seamark.report import page")
    before = digest(script)
    edit(package / "report" / "style.css", "{}", "{color: red}")
    assert digest(script) != before


def test_touching_or_moving_the_tree_does_not_count(tree, tmp_path, monkeypatch):
    package, script = tree
    before = digest(script)
    moved = tmp_path / "elsewhere"
    shutil.move(package, moved)
    monkeypatch.setattr(module, "PACKAGE_ROOT", moved)
    assert digest(script) == before
