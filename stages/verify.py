"""Compare every artifact that is there with its manifest and its provenance, and say how to repair what differs.

**Params**

- ``run``: name of the run; its variations are looked at too
- ``root``, ``truth_root``: data root and folder of the private truth (or null)
- ``demo``: the demo's manifest when the demo is drawn, otherwise nothing
- ``expected``: settings and code from which artifacts would be made now, by path of the manifest

It writes nothing but its log and reads every byte once; a run that is half done is as good as a finished one.
"""

from pathlib import Path

from seamark.errors import ManifestError
from seamark.running.job import Job, run
from seamark.verification.verification import print_verification, verify_run


def main(job: Job) -> None:
    """Verify a run; fail if anything is wrong."""
    truth_root = job.params["truth_root"]
    found = verify_run(
        job.params["run"],
        Path(job.params["root"]),
        Path(truth_root) if truth_root else None,
        [Path(path) for path in job.params["demo"]],
        job.params["expected"],
        job.map,
    )
    print_verification(found)
    if found.faults:
        raise ManifestError(f"{len(found.faults)} artifacts are not as they should be; the table names the repairs")


run(main, globals())
