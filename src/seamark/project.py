"""The folder of the Snakefile that belongs to this package."""

from pathlib import Path

INSTALLED = Path(__file__).with_name("workflow")
PROJECT = INSTALLED if INSTALLED.is_dir() else Path(__file__).parents[2]
"""Within the package that is installed, otherwise of a clone."""
