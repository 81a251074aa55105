"""Rooms and stages as docs/architecture.md has them."""

import re
from pathlib import Path

from seamark.flow import STAGES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()


def test_the_map_has_every_room():
    rooms = {path.name for path in (ROOT / "src/seamark").iterdir() if (path / "__init__.py").is_file()}
    assert not {room for room in rooms if room not in PAGE.split("```")[1]}


def test_the_table_says_what_each_stage_reads():
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)
    read = {name: {word for word in re.findall(r"`(\w+)`", cell) if word in STAGES} for name, _, cell in rows}
    read["train_fold"] = read["train"]
    assert read == {name: {source.stage for source in STAGES[name].sources} for name in read}
    jobs = {name: ["run"] if cell == "run" else cell.split(", ") for name, cell, _ in rows}
    assert jobs == {name: [*STAGES[name].wildcards] or ["run"] for name in jobs}
    assert set(STAGES) - set(jobs) == {"plan", "demo", "comparison", "ablation", "verify"}
