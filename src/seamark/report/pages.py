"""Pages from templates: how they point to files and write numbers."""

import html
import os
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

DASH = "–"
TEMPLATES = files("seamark.report").joinpath("templates")


def render(template: str, page: Path, facts: Mapping[str, Any], styles: Sequence[str] = ()) -> str:
    """Fill a template of this package; what is not markup is escaped.

    Parameters
    ----------
    template : str
        Name of the file.
    page : Path
        Where the page will lie; links are relative to its folder.
    facts : mapping of str to object
        What it shows.
    styles : sequence of str
        Style sheets of this package that the page carries.

    Returns
    -------
    str
        The page.
    """
    environment = Environment(
        loader=PackageLoader("seamark.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = page.parent
    environment.filters |= {
        "link": lambda path: relative_link(path, folder),
        "relative": lambda path: relative_path(path, folder.parent),
        "score": lambda value: DASH if value is None else f"{value:.3f}",
        "raw": lambda value: DASH if value is None else f"{value:.4g}",
        "signed": signed,
        "markdown": markdown,
        "percent": percent,
        "duration": duration,
    }
    # The package's own files, not data.
    style = Markup("\n").join(Markup(TEMPLATES.joinpath(name).read_text(encoding="utf-8")) for name in styles)
    return environment.get_template(template).render(facts, style=style)


def relative_path(target: Path, folder: Path) -> str:
    """Return the path from a folder to a file, with forward slashes."""
    return Path(os.path.relpath(target, folder)).as_posix()


def relative_link(target: Path, folder: Path) -> str:
    """Return a link from a page's folder to a file that works from the file system, special characters quoted."""
    return quote(relative_path(target, folder))


def signed(value: float) -> str:
    """Return a difference with its sign, and none where it rounds to 0."""
    text = f"{value:+.3f}".replace("-", "−")
    return "0.000" if text[1:] == "0.000" else text


def markdown(text: str) -> Markup:
    """Return a line of text that neither HTML nor a Markdown table takes for its own."""
    plain = html.escape(" ".join(text.split()), quote=False)
    return Markup(re.sub(r"([\\|*_`\[\]#])", r"\\\1", plain))


def percent(share: float) -> str:
    """Return a share in percent with as many digits as a small one needs."""
    return "0 %" if share == 0.0 else f"{100.0 * share:.2g} %" if share < 0.1 else f"{100.0 * share:.1f} %"


def duration(seconds: float) -> str:
    """Return a duration in the largest unit that keeps it readable."""
    if seconds < 60.0:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
