"""Bundles by their short name: ``python -m seamark.bundle show FILE``."""

import sys

from seamark.command import main

if __name__ == "__main__":
    sys.exit(main())
