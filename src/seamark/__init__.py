"""Anomaly segmentation of high-resolution industrial images; ``Inspector`` judges a photograph with a trained run."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seamark.inspection.inspector import Inspection as Inspection
    from seamark.inspection.inspector import Inspector as Inspector

__all__ = ["Inspection", "Inspector"]


def __getattr__(name: str) -> Any:
    """Import what is asked for only then, because it brings torch along."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from seamark.inspection import inspector  # noqa: PLC0415

    return getattr(inspector, name)
