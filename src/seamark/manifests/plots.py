"""Manifest of the plots that the report stage writes as files."""

from seamark.manifests.base import Manifest, Record


class PlotRecord(Record):
    """One figure in three files, paths relative to the manifest's folder."""

    name: str
    title: str
    svg: str
    png: str
    csv: str
    """What is drawn, one row per point or bar."""


class AbsentPlot(Record):
    """A figure that could not be drawn."""

    name: str
    reason: str


class PlotsManifest(Manifest):
    """All plots of a run."""

    plots: tuple[PlotRecord, ...]
    absent: tuple[AbsentPlot, ...]
