"""Progress of a job: one rewritten line on a terminal, one line every half minute in a log."""

import logging
import sys
import time

LOG_INTERVAL_S = 30.0
TERMINAL_INTERVAL_S = 0.5


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
    """

    def __init__(self, label: str, total: int, what: str, log: logging.Logger) -> None:
        self.label, self.total, self.what, self.log = label, total, what, log
        self.done = 0
        self.on_terminal = sys.stderr.isatty()
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
        if self.on_terminal and (now - self.last_line >= TERMINAL_INTERVAL_S or self.done == self.total):
            end = "\n" if self.done == self.total else ""
            sys.stderr.write(f"\r\033[K{self._line(now, note)}{end}")
            sys.stderr.flush()
            self.last_line = now

    def _line(self, now: float, note: str) -> str:
        seconds = max(now - self.start, 1e-9)
        remaining = (self.total - self.done) * seconds / self.done
        rate = f"{self.done / seconds:.2f}/s, {remaining:.0f} s left"
        return f"{self.label}: {self.done}/{self.total} {self.what}, {rate} {note}".rstrip()
