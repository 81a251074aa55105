"""The README held against what exists; its rule graph is the Snakefile's: ``pytest tests/docs --fix`` redraws it."""

import os
import re
from pathlib import Path

import pytest
from tests.workflow.forked_snakemake import snakemake

from seamark.data.layout import PLACES
from seamark.flow import STAGES

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TARGETS = ("submissions/demo.tar.gz", "out/demo/report/index.html")
GRAPH = re.compile(r"```mermaid\n.*?```", re.DOTALL)
TREE = re.compile(r"## What comes out\n\n```\n(.*?)```", re.DOTALL)
BESIDE = {
    "merge": ["<image>.tiff"],
    "fuse": ["<image>.tiff"],
    "binarize": ["<image>.png"],
    "refine": ["<image>.png"],
    "verdict": ["<image>.png"],
    "preview": ["<image>.jpg", "contact_sheet.jpg", "layers/<image>/"],
}
"""What stages write into the folder that has the name of their manifest."""
OTHERS = {"out/demo/logs/", "out/demo/benchmarks/", "submissions/demo/"}


def rule_graph():
    """Edges between rules without those that a longer way already shows."""
    text = snakemake(["--cores", "1", "--rulegraph", "mermaid-js", "--", *TARGETS], ROOT, dict(os.environ)).stdout
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", text))
    edges = {(names[start], names[end]) for start, end in re.findall(r"(id\d+) --> (id\d+)", text)}
    return "```mermaid\nflowchart LR\n" + "".join(f"  {a} --> {b}\n" for a, b in sorted(reduced(edges))) + "```"


def reduced(edges):
    def reaches(start, end, without):
        waiting, seen = [start], set()
        while waiting:
            here = waiting.pop()
            for edge in edges - {without}:
                if edge[0] == here and edge[1] not in seen:
                    seen.add(edge[1])
                    waiting.append(edge[1])
        return end in seen

    return {edge for edge in edges if not reaches(*edge, without=edge)}


def test_rule_graph_is_in_step(fix):
    text, graph = README.read_text(), rule_graph()
    if fix:
        README.write_text(GRAPH.sub(lambda _: graph, text))
    assert GRAPH.search(README.read_text())[0] == graph, "run: pytest tests/docs --fix"


def test_the_layouts_are_drawn_as_they_are_read():
    blocks = re.findall(r"^<data.root>/<category>/ +layout: (\w+).*\n((?:  .*\n)+)", README.read_text(), re.MULTILINE)
    assert [layout for layout, _ in blocks] == [*PLACES]
    for layout, block in blocks:
        places, drawn = PLACES[layout], re.findall(r"^  (\S.*?/)  ", block, re.MULTILINE)
        assert all(places.reads(folder.rstrip("/")) for folder in drawn)
        assert {*drawn} == {places.truth, *" and ".join(places.homes.values()).split(" and ")}


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"^make (\w+)", README.read_text(), re.MULTILINE))
    assert {"submission", "test"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_snakemake_targets_exist():
    rules = set(re.findall(r"^(?:use rule \w+ as|rule) (\w+)", (ROOT / "rules/targets.smk").read_text(), re.MULTILINE))
    named = set(re.findall(r"^snakemake --cores \S+ (\w+)(?: --configfile .+)?$", README.read_text(), re.MULTILINE))
    assert named
    assert named <= rules


@pytest.mark.parametrize("document", [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"], ids=str)
def test_named_files_exist(document):
    text = document.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    paths = re.findall(
        r"(?<![\w/.-])((?:presets|docs|stages|rules|src|tests|benchmarks|profiles)/[\w./+-]*\w/?)(?![\w/<{*]|\.\w)",
        text,
    )
    for link in links:
        assert (document.parent / link).exists(), link
    for path in paths:
        assert (ROOT / path).exists(), path


def drawn_paths():
    """Paths of the tree of outputs, each with the line that draws it."""
    above = ""
    for line in TREE.search(README.read_text())[1].splitlines():
        names = line.split("  ")[0] if line[0] != " " else line.strip().split("  ")[0]
        if line == names:
            above = line
            continue
        yield from ((above if line[0] == " " else "") + name for name in names.split(", "))


def paths_of(name):
    """What a stage makes, as the tree would draw it: its files, what lies beside them, and the folders of both."""
    stage = STAGES[name]
    files = [f"{stage.manifest.removesuffix('.json')}/{beside}" for beside in BESIDE.get(name, ())]
    files += stage.outputs.values()
    drawn = [re.sub(r"{(\w+)}", r"<\1>", re.sub("{(run|place)}", "demo", path)) for path in files]
    return {*drawn, *(f"{Path(path).parent}/" for path in drawn)}


def test_the_tree_of_outputs_is_that_of_the_stages():
    drawn, made = {*drawn_paths()}, {name: paths_of(name) for name in STAGES if name != "demo"}
    assert drawn - OTHERS <= set().union(*made.values())
    assert [name for name, paths in made.items() if not drawn & paths] == ["train_fold", "verify"]
