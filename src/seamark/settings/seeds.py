"""Seeds of jobs. What decides results stands here and not with the runner, which no digest of code looks at."""

import hashlib
import json
from collections.abc import Mapping


def job_seed(run_seed: int, rule: str, wildcards: Mapping[str, str]) -> int:
    """Return the seed of a job, in 0..2**31-1, which depends on what it is and not on where or when it runs.

    Parameters
    ----------
    run_seed : int
        Seed of the run.
    rule : str
        Name of the rule.
    wildcards : mapping of str to str
        Category, split, detector, grid. A teacher's name is left out: it follows times of files too, which a copy of
        the photographs need not keep.
    """
    named = sorted((name, value) for name, value in wildcards.items() if name != "teacher")
    text = json.dumps([run_seed, rule, named])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
