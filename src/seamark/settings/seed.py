"""The seed of every job, derived from the run's."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def job_seed(params: Mapping[str, Any], rule: str, wildcards: Mapping[str, str]) -> int:
    """Return the seed of a job.

    A stage that draws at random imports this function, so that the digest of its code has it.

    Parameters
    ----------
    params : mapping
        Of the job; ``seed`` is the run's, 1 where the rule has none.
    rule : str
        Name of the rule.
    wildcards : mapping of str to str
        Of the job.

    Returns
    -------
    int
        In 0..2**31-1, another one for every rule and all wildcards but ``teacher``: a teacher is named after times of
        files too, which a copy of the photographs need not keep.
    """
    named = sorted((name, value) for name, value in wildcards.items() if name != "teacher")
    text = json.dumps([int(params.get("seed", 1)), rule, named])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
