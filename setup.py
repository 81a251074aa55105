"""Puts the workflow, which lies open at the top of a clone, into the package that is built."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

WORKFLOW = (
    "Snakefile",
    "config.yaml",
    "rules/*.smk",
    "captions/*.rst",
    "stages/*.py",
    "presets/*.yaml",
    "profiles/*/*.yaml",
)


class BuildWithWorkflow(build_py):
    """Copies the workflow to ``seamark/workflow``; an editable install uses that of the clone."""

    def run(self):
        """Build the package, then add the workflow."""
        super().run()
        for file in () if self.editable_mode else self._workflow():
            target = Path(self.build_lib, "seamark/workflow", file)
            target.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(file), str(target))

    def get_source_files(self):
        """Name what a source distribution needs."""
        return [*super().get_source_files(), *map(str, self._workflow())]

    def _workflow(self):
        return sorted(path for pattern in WORKFLOW for path in Path().glob(pattern))


setup(cmdclass={"build_py": BuildWithWorkflow})
