"""Names in tables that people open in spreadsheets."""

FORMULA = ("=", "+", "-", "@")
"""What spreadsheets begin a formula with; names of photographs may begin so too."""


def as_text(name: str) -> str:
    """Return a name as a cell that no spreadsheet computes: with an apostrophe before one that looks like a formula.

    Source: OWASP, CSV Injection. Names of photographs and categories hold no control codes.
    """
    return f"'{name}" if name.startswith(FORMULA) else name
