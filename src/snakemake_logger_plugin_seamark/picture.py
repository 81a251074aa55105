"""A run as a picture of text: a bar for each stage and category, below it what runs now; and the same in one line."""

from collections.abc import Sequence

from rich.text import Text

from snakemake_logger_plugin_seamark.state import Cell, RunningJob, RunState

FULL, EMPTY = "█", "░"
NARROWEST = 5
"""Columns of the narrowest cell; categories that would get less share one column."""
MOST_RUNNING = 4
"""Jobs that run now and get a line each."""


def clock(seconds: float) -> str:
    """Return a time as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def headline(state: RunState, now: float) -> str:
    """Return how many jobs are done, the time so far and an estimate of the rest."""
    failed = f", {len(state.failed)} failed" if state.failed else ""
    left = state.remaining_s(now)
    rest = f", about {clock(left)} left" if left else ""
    return f"{len(state.finished)} of {len(state.jobs)} jobs done{failed} in {clock(now - state.begun)}{rest}"


def line(state: RunState, now: float) -> str:
    """Return the state of a run in one line, for where there is no terminal."""
    running = [f"{one.job.label}{f' ({_items(one)})' if one.total else ''}" for one in state.running.values()]
    more = f" and {len(running) - MOST_RUNNING} more" if len(running) > MOST_RUNNING else ""
    return f"{headline(state, now)}; now: {', '.join(running[:MOST_RUNNING]) or 'nothing'}{more}"


def picture(state: RunState, now: float, width: int, height: int) -> Text:
    """Draw the state of a run.

    Parameters
    ----------
    state : RunState
        The run.
    now : float
        Time, s.
    width, height : int
        Columns and lines of the terminal.

    Returns
    -------
    Text
        Lines of at most ``width`` columns, fewer of them than ``height``.
    """
    running = list(state.running.values())[:MOST_RUNNING]
    first = max([len(stage) for stage in state.stages], default=0) + 2
    names = state.categories
    apart = bool(names) and (width - first) // len(names) > NARROWEST
    columns = names if apart else [""]
    wide = (width - first) // len(columns) - 1
    cells = state.cells(apart)
    lines = [Text(headline(state, now), "bold")]
    if apart:
        lines.append(Text(" " * first + "".join(f" {_fitted(name, wide):{wide}}" for name in columns), "dim"))
    for stage in _shown(state, cells, height - len(lines) - len(running) - 3):
        row = Text(f"{stage:{first}}")
        if (stage, "") in cells:
            row.append(" ").append(_bar(cells[stage, ""], width - first - 1))
        else:
            for name in columns:
                row.append(" ").append(_bar(cells.get((stage, name), Cell()), wide))
        lines.append(row)
    lines += [Text(), *(_now(one, now) for one in running)]
    for one in lines:
        one.rstrip()
        one.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines)


def _shown(state: RunState, cells: dict[tuple[str, str], Cell], room: int) -> list[str]:
    """Return the stages for which there is room: finished ones leave first, then those at the end."""
    open_stages = {stage for (stage, _), cell in cells.items() if cell.finished < cell.total}
    surplus = max(0, len(state.stages) - room)
    leaving = [stage for stage in state.stages if stage not in open_stages][:surplus]
    return [stage for stage in state.stages if stage not in leaving][: max(room, 1)]


def _bar(cell: Cell, wide: int) -> Text:
    """Draw the jobs of a stage and category, with their number where there is room for it."""
    if not cell.total:
        return Text(" " * wide)
    count = f" {cell.finished}/{cell.total}" if wide >= 12 else ""
    length = wide - (len(" 00/00") if count else 0)
    full = int(length * cell.done / cell.total)
    bar = Text().append(FULL * full, "red" if cell.failed else "green").append(EMPTY * (length - full), "bright_black")
    text = bar.append(count, "red" if cell.failed else "")
    return text.append(" " * max(0, wide - len(text)))


def _now(one: RunningJob, now: float) -> Text:
    text = Text(f"▸ {one.job.label}  {clock(now - one.since)}", "cyan")
    if one.total:
        text.append(f"  {_items(one)}")
    return text


def _items(one: RunningJob) -> str:
    return f"{one.done} of {one.total} {one.what}"


def _fitted(name: str, wide: int) -> str:
    return name if len(name) <= wide else f"{name[: wide - 1]}…"


def counted(names: Sequence[str]) -> str:
    """Return names with how often each is there, in their order: ``index 10, crop 24``."""
    return ", ".join(f"{name} {names.count(name)}" for name in dict.fromkeys(names))
