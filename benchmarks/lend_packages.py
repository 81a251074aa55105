"""Let another virtual environment borrow the packages of this one.

What is installed over there comes first, so an environment for a comparison needs only what this one lacks. Run:
``.venv/bin/python benchmarks/lend_packages.py anomalib_env``.
"""

import argparse
import sysconfig
from pathlib import Path


def main() -> None:
    """Write the path file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", type=Path, help="a virtual environment of the same Python version")
    environment = parser.parse_args().environment
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))
    if not packages.is_dir():
        parser.error(f"{packages} does not exist; make the environment with this Python version: python -m venv")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
