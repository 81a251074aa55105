"""What the README says exists, and its rule graph is the Snakefile's: ``pytest tests/docs --fix`` redraws it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TARGETS = ("submissions/demo.tar.gz", "out/demo/report/index.html")
GRAPH = re.compile(r"```mermaid\n.*?```", re.DOTALL)


def rule_graph():
    """Edges between rules without those that a longer way already shows."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--rulegraph", "mermaid-js", "--", *TARGETS]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
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


def test_the_map_has_every_room():
    rooms = {path.name for path in (ROOT / "src/seamark").iterdir() if (path / "__init__.py").is_file()}
    assert not {room for room in rooms if room not in (ROOT / "docs/architecture.md").read_text().split("```")[1]}
