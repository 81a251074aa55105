"""The faults of a campaign: the same ones for the same seed."""

import random
from dataclasses import asdict, dataclass

RULES = (
    "index", "truth", "crop", "train", "infer", "merge", "fuse", "calibrate", "binarize", "refine", "verdict",
    "preview", "evaluate", "package", "report",
)  # fmt: skip
"""Stages in the order of the flow."""

KINDS = {
    "kill_run": 4,
    "kill_job": 4,
    "kill_snakemake": 2,
    "disk_full": 5,
    "unreadable": 4,
    "truncated": 7,
    "checkpoint": 2,
    "photograph": 3,
    "photograph_left": 1,
    "second_run": 1,
    "clock": 3,
}
"""Kinds of faults and how often they are drawn."""

SUFFIXES = (".json", ".npy", ".tiff", ".png", ".safetensors", ".tar.gz", ".csv", ".jpg")


@dataclass(frozen=True)
class Fault:
    """One fault: what happens when a job of a rule touches its ``event``-th file."""

    number: int
    kind: str
    rule: str
    event: int
    seed: int
    suffix: str = ""

    def as_json(self):
        return asdict(self)


def draw_faults(seed, count, events, kinds=KINDS):
    """Faults of a campaign.

    ``events`` gives, by rule, how many files every job of it touches and how many of these it reads. Stages come in
    turn, so that each has its share.
    """
    draw = random.Random(seed)
    order = [rule for _ in range(-(-count // len(RULES))) for rule in draw.sample(RULES, len(RULES))]
    faults = []
    for number, rule in enumerate(order[:count]):
        kind = draw.choices(list(kinds), weights=list(kinds.values()))[0]
        if kind == "truncated" and rule == "index":
            kind = "kill_job"  # nothing is there yet
        stage = "train" if kind == "checkpoint" else rule
        touched, read = events[stage]
        if kind == "checkpoint":  # the first one is there by then, and the last one still is
            first, last = touched // 2, touched * 3 // 4
        else:
            first, last = 1, max(1, read if kind == "unreadable" else touched)
        event = draw.randint(first, last)
        suffix = draw.choice(SUFFIXES) if kind == "truncated" else ""
        faults.append(Fault(number, kind, stage, event, draw.getrandbits(32), suffix))
    return faults


def grouped(faults, size):
    """Faults in groups of neighbours, each for one run."""
    return [faults[start : start + size] for start in range(0, len(faults), size)]
