"""``python -m tests.faults --faults 200 --seed 1 --folder /somewhere``: strike runs.

An earlier call that was stopped goes on where it was.
"""

import argparse
import sys
from pathlib import Path

from tests.faults.campaign import Campaign, summary

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=200, help="number of faults")
    parser.add_argument("--seed", type=int, default=1, help="which faults")
    parser.add_argument("--group", type=int, default=20, help="faults per run")
    parser.add_argument("--folder", type=Path, required=True, help="where runs, journals and tables are kept")
    options = parser.parse_args()
    campaign = Campaign(options.folder)
    campaign.prepare()
    rows = campaign.strike(options.seed, options.faults, options.group)
    print("\n".join(summary(rows)))
    sys.exit(any(row["outcome"] == "open" for row in rows))
