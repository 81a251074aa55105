"""Progress of a job: lines for a display that asks for them, else one rewritten line; in the log every half minute."""

import json
import logging
import os
import sys
import time
from contextlib import suppress

LOG_INTERVAL_S = 30.0
TERMINAL_INTERVAL_S = 0.5
DISPLAY = "SEAMARK_DISPLAY"
"""Environment variable that is set where the logger plugin shows the run and reads what jobs write to stderr."""
MARK = "\x1e"
"""First character of a line that is for the display and for nobody to read."""


def write_terminal(text: str) -> None:
    """Write to stderr; a job that has outlived Snakemake and its display goes on without."""
    with suppress(BrokenPipeError):
        sys.stderr.write(text)
        sys.stderr.flush()


class Progress:
    """Counts finished items and says now and then how far the job is.

    Parameters
    ----------
    label : str
        What the job does, e.g. ``merge woven test_private``.
    total : int
        Number of items.
    what : str
        Plural of the item, e.g. ``images``.
    log : logging.Logger
        Where the half-minute lines go.
    done : int
        Items of the total that an earlier process has done.
    """

    def __init__(self, label: str, total: int, what: str, log: logging.Logger, done: int = 0) -> None:
        self.label, self.total, self.what, self.log = label, total, what, log
        self.done = self._before = done
        self.on_display = bool(os.environ.get(DISPLAY))
        self.on_terminal = not self.on_display and sys.stderr.isatty()
        self.start = self.last_log = self.last_line = time.monotonic()

    def advance(self, note: str = "") -> None:
        """Count one more finished item.

        Parameters
        ----------
        note : str
            Short text behind the figures, e.g. the loss.
        """
        self.done += 1
        now = time.monotonic()
        if now - self.last_log >= LOG_INTERVAL_S:
            self.log.info("%s", self._line(now, note))
            self.last_log = now
        if now - self.last_line < TERMINAL_INTERVAL_S and self.done != self.total:
            return
        self.last_line = now
        if self.on_display:
            facts = {"job": self.label, "done": self.done, "total": self.total, "what": self.what}
            write_terminal(f"{MARK}{json.dumps(facts)}\n")
        elif self.on_terminal:
            write_terminal(f"\r\033[K{self._line(now, note)}" + ("\n" if self.done == self.total else ""))

    def _line(self, now: float, note: str) -> str:
        seconds, made = max(now - self.start, 1e-9), self.done - self._before
        remaining = (self.total - self.done) * seconds / made
        rate = f"{made / seconds:.2f}/s, {remaining:.0f} s left"
        return f"{self.label}: {self.done}/{self.total} {self.what}, {rate} {note}".rstrip()
