"""The submission checker by its short name: ``python -m seamark.checker``."""

import sys

from seamark.submission.checker import main

if __name__ == "__main__":
    sys.exit(main())
