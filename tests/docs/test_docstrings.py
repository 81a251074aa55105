"""Docstrings of modules open with what the module is: a noun phrase, or the name of a thing."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("src", "stages", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
QUESTION = re.compile(r'(?:#.*\n)*r?"""(?:What|Which|Where|Whether|When|How|Who|Whose|Why)\b')


def test_modules_open_with_noun_phrases():
    assert not [str(path.relative_to(ROOT)) for path in SOURCES if QUESTION.match(path.read_text())]
