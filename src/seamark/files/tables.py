"""Names in tables that people open in spreadsheets."""

FORMULA = ("=", "+", "-", "@")
"""What spreadsheets begin a formula with; names of photographs may begin so too."""


def as_text(name: str) -> str:
    """Return a name as a cell that no spreadsheet computes: with an apostrophe before one that looks like a formula.

    Source: OWASP, CSV Injection. Names of photographs and categories hold no control codes.
    """
    return f"'{name}" if name.startswith(FORMULA) else name


def name_of(cell: str) -> str:
    """Return the name that :func:`as_text` made a cell of."""
    name = cell.removeprefix("'")
    return name if as_text(name) == cell else cell
