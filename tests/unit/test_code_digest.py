import shutil
from pathlib import Path

import pytest

from seamark.backbones.registry import BACKBONES
from seamark.planning import code_digest as module


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A tiny package: stage -> a -> b, with c unused."""
    package = tmp_path / "seamark"
    (package / "report").mkdir(parents=True)
    files = {
        "a.py": '"""A."""\nfrom seamark.b import two\n\n\ndef one():\n    """One."""\n    return two()  # why\n',
        "b.py": "def two():\n    return 2\n",
        "c.py": "THREE = 3\n",
        "report/page.py": 'PAGE = "page.j2"\n',
        "report/page.j2": "{% include style.css %}",
        "report/other.j2": "unused",
        "report/style.css": "body {}",
    }
    for name, text in files.items():
        (package / name).write_text(text)
    script = tmp_path / "stage.py"
    script.write_text("from seamark.a import one\n\none()\n")
    monkeypatch.setattr(module, "PACKAGE_ROOT", package)
    return package, script


def digest(script: Path, extra: tuple[str, ...] = ()) -> str:
    for function in (module._source, module._module_path, module._other_files):
        function.cache_clear()
    module.code_digest.cache_clear()
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
    ],
)
def test_comments_docstrings_layout_and_unused_modules_do_not_count(tree, file, old, new):
    package, script = tree
    before = digest(script)
    edit(package / file, old, new)
    assert digest(script) == before


@pytest.mark.parametrize(("file", "old", "new"), [("a.py", "return two()", "return two() + 1"), ("b.py", "2", "3")])
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


def test_modules_named_by_hand_count(tree):
    package, script = tree
    before = digest(script, ("seamark.c",))
    assert before != digest(script)
    edit(package / "c.py", "3", "4")
    assert digest(script, ("seamark.c",)) != before


@pytest.mark.parametrize(
    "code",
    [
        "def one(path: {}) -> {}:\n    return two()",
        "def one():\n    if two() > 3:\n        raise ValueError(f'{}' + '{}')\n    return two()",
        "def one():\n    LOG.info('{}', two())\n    return two()",
        "def one(track):\n    return sum(track(range(two()), '{}'))",
        "def one(job):\n    return job.map(two, (), f'{} {{job}}')",
        "class Block(Settings):\n    size: int = Field(3, ge=1, description='{}')",
        "def one(error):\n    error.add_note('{}')\n    return two()",
        "def one():\n    if two():\n        '{}'\n    return two()",
    ],
)
def test_what_people_read_does_not_count(tree, code):
    package, script = tree
    found = set()
    for word in ("some", "other"):
        (package / "a.py").write_text("from seamark.b import two\n\n\n" + code.replace("{}", word) + "\n")
        found.add(digest(script))
    assert len(found) == 1


@pytest.mark.parametrize(
    "code",
    [
        "class Block(Settings):\n    size: {} = 3",
        "class Block(Settings):\n    size: int = Field({}, description='')",
        "def one():\n    return '{}'",
        "def one():\n    if {}():\n        raise ValueError\n    return two()",
        "def one():\n    raise {}()",
        "def one(items):\n    return items.map(two, {})",
        "@{}\ndef one(path: str) -> str:\n    return path",
    ],
)
def test_what_is_computed_counts(tree, code):
    package, script = tree
    found = set()
    for word in ("some", "other"):
        (package / "a.py").write_text("from seamark.b import two\n\n\n" + code.replace("{}", word) + "\n")
        found.add(digest(script))
    assert len(found) == 2


def test_modules_that_never_decide_and_alternatives_do_not_count(tree, monkeypatch):
    package, script = tree
    (package / "b.py").write_text("from seamark.c import THREE\n\n\ndef two():\n    return 2\n")
    monkeypatch.setattr(module, "NEVER_DECIDE", ("seamark.b",))
    before = digest(script)
    edit(package / "b.py", "return 2", "return 3")
    edit(package / "c.py", "3", "4")
    assert digest(script) == before
    monkeypatch.setattr(module, "NEVER_DECIDE", ())
    monkeypatch.setattr(module, "ALTERNATIVES", {"seamark.b": "seamark.c"})
    before, chosen = digest(script), digest(script, ("seamark.c",))
    edit(package / "c.py", "4", "5")
    assert digest(script) == before
    assert digest(script, ("seamark.c",)) != chosen


def test_the_lists_name_what_there_is():
    for name in (*module.NEVER_DECIDE, *module.ALTERNATIVES, *module.ALTERNATIVES.values(), *module.NETWORKS.values()):
        assert module._module_path(name), name
    for entry in BACKBONES.values():
        assert module._network_of(entry.weights), entry.name


def test_every_template_is_named_by_a_module():
    named = {
        file
        for path in module.PACKAGE_ROOT.glob("*/*.py")
        for file in module._named_files(path, module._source(path).deciding)
    }
    assert named == {file for folder in module.PACKAGE_ROOT.glob("*/") for file in module._other_files(folder)}


def test_templates_that_an_imported_module_names_count(tree):
    package, script = tree
    edit(script, "import one", "import one\nfrom seamark.report import page")
    before = digest(script)
    edit(package / "report" / "other.j2", "unused", "still unused")
    assert digest(script) == before
    edit(package / "report" / "style.css", "{}", "{color: red}")
    assert digest(script) != before


def test_touching_or_moving_the_tree_does_not_count(tree, tmp_path, monkeypatch):
    package, script = tree
    before = digest(script)
    moved = tmp_path / "elsewhere"
    shutil.move(package, moved)
    monkeypatch.setattr(module, "PACKAGE_ROOT", moved)
    assert digest(script) == before
