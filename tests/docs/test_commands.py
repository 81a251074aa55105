"""Commands in the documentation: programs, targets, options, presets and files that they name exist."""

import re
import shlex
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser
from tests.conftest import OPTIONAL

from seamark import command
from seamark.flow import STAGES
from seamark.submission import checker

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *(ROOT / "docs").rglob("*.md")]
CODE = re.compile(r"^```\w*\n(.*?)^```|^((?:    .*\n)+)|(?<!`)`([^`\n]+)`(?!`)", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*(?:\S*\bbin/)?(snakemake|seamark|make|pytest|python3?)((?: .+)?)")
RULES = {
    name
    for path in (ROOT / "rules").glob("*.smk")
    for name in re.findall(r"^(?:use rule \w+ as|rule) (\w+)", path.read_text(), re.MULTILINE)
}
MADE = {path for stage in STAGES.values() for path in (stage.manifest, *stage.outputs.values())}
OURS = ("presets/", "profiles/", "tests/", "benchmarks/")


def commands():
    """Yield the name of a page and a command for every command in code of all pages."""
    for page in sorted(PAGES):
        for found in CODE.finditer(page.read_text()):
            for line in "".join(filter(None, found.groups())).replace("\\\n", " ").splitlines():
                parts = [part for part in line.strip().split(" && ") if COMMAND.fullmatch(part)]
                yield from ((page.relative_to(ROOT), part) for part in parts)


def missing_files(words):
    return [word for word in words if word.startswith(OURS) and not [*ROOT.glob(word)]]


def unknown_to(parse, words):
    """Words that the command line of a program refuses."""
    try:
        parse(words)
    except SystemExit:
        return words
    return []


def unknown_to_snakemake(words):
    parser = get_argument_parser()
    if refused := unknown_to(parser.parse_args, words):
        return refused
    given = parser.parse_args(words)
    made = [re.sub("{[a-z_]+}", "[^/]+", pattern) for pattern in MADE]
    targets = [*given.targets, *(given.forcerun or ())]
    unknown = [word for word in targets if word not in RULES and not any(re.fullmatch(path, word) for path in made)]
    return unknown + missing_files([*map(str, given.configfile or ()), *map(str, given.profile or ())])


def unknown_to_seamark(words):
    name, rest = words[0], words[1:]
    if name in ("run", *command.TARGETS):
        return unknown_to_snakemake(rest)
    if name == "check":
        return unknown_to(checker._arguments, rest) if rest else []
    known = re.findall(r'add_parser\("(\w+)"', Path(command.__file__).read_text())
    return [name] if name not in known else unknown_to(command._arguments, words) if rest else []


def unknown_to_python(words):
    """Missing scripts and modules of ours, and options that stand in none of their files."""
    if words[0] == "-m":
        place = Path(words[1].replace(".", "/"))
        if place.parts[0] not in ("seamark", "tests"):
            return missing_files(words)
        files = [path for top in ("src", ".") for path in (ROOT / top).glob(f"{place}*") if path.stem == place.name]
        files = [path for one in files for path in (one.glob("*.py") if one.is_dir() else [one])]
        files += [Path(checker.__file__)] if place.name == "checker" else []
    else:
        files = [path for path in [ROOT / words[0]] if path.is_file()]
    text = "".join(path.read_text() for path in files)
    options = [word for word in words[1:] if word.startswith("--") and f'"{word}"' not in text]
    return options + missing_files(words) if files else words[:2]


def unknown(text):
    """What a command names that does not exist."""
    program, rest = COMMAND.fullmatch(text).groups()
    words = [word for word in shlex.split(re.sub("<[^>]+>", "*", rest), comments=True) if word != "..."]
    if not words:
        return []
    if program == "make":
        return [word for word in words if not re.search(f"^{word}:", (ROOT / "Makefile").read_text(), re.MULTILINE)]
    if program == "pytest":
        known = {"--fix", *(f"--{marker}" for marker in OPTIONAL)}
        return [word for word in words if word.startswith("--") and word not in known] + missing_files(words)
    return {"snakemake": unknown_to_snakemake, "seamark": unknown_to_seamark}.get(program, unknown_to_python)(words)


def test_what_commands_name_exists(capsys):
    found = {*commands()}
    assert len(found) > 50
    assert not {(str(page), text): words for page, text in found if (words := unknown(text))}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("snakemake --cores 8 submision", ["submision"]),
        ("snakemake --cores 8 -R binarise -- masks", ["binarise"]),
        ("snakemake --cores 8 -f out/demo/61_coarse/woven.json", ["out/demo/61_coarse/woven.json"]),
        ("snakemake --coers 8 masks", ["--coers", "8", "masks"]),
        ("snakemake --cores 8 masks --configfile presets/robi.yaml", ["presets/robi.yaml"]),
        ("seamark judge", ["judge"]),
        ("seamark inspect x.seamark new/ --output x", ["inspect", "x.seamark", "new/", "--output", "x"]),
        ("seamark run --configfile parts.yaml -- bundles", ["bundles"]),
        ("python -m seamark.checker submissions/demo --indices x", ["--indices"]),
        ("python -m seamark.check x", ["-m", "seamark.check"]),
        ("python benchmarks/mebin.py --repeat 3", ["--repeat"]),
        ("make documentation", ["documentation"]),
        ("pytest --slow tests/cluster", ["tests/cluster"]),
    ],
)
def test_what_does_not_exist_is_told(text, wrong, capsys):
    assert unknown(text) == wrong
