"""The display of a run: it has the terminal to itself, and shows above its bars what everybody else writes."""

import json
import os
import select
import sys
import threading
import time
from typing import IO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from snakemake_logger_plugin_seamark.picture import counted, headline, line, picture
from snakemake_logger_plugin_seamark.state import RunState

MARK = "\x1e"
"""First character of a line with which a job tells of its progress (``seamark.running.progress``)."""
TICK_S = 0.25
LINE_S = 30.0
"""Seconds between two lines where there is no terminal."""
LAST_S = 2.0
"""Seconds for which the last words of jobs are waited for."""


class Display:
    """Shows a run until it is closed: live on a terminal, else a line every half minute.

    Whatever this process and its jobs write to stderr, and to stdout where both are the terminal, goes through a pipe
    and is shown above the bars, which it would tear otherwise.

    Parameters
    ----------
    state : RunState
        The run, which the caller changes between ``with display.lock``.
    """

    def __init__(self, state: RunState) -> None:
        self.lock = threading.RLock()
        self.muted = False
        """Whether nothing that others write is shown any more."""
        self._state = state
        sys.stdout.flush()
        sys.stderr.flush()
        self._terminal: IO[str] = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="replace")
        self._on_terminal = os.isatty(2) and os.environ.get("TERM") != "dumb"
        console = Console(file=self._terminal, force_terminal=self._on_terminal, highlight=False)
        self._console = console
        self._live = Live(
            get_renderable=self._picture,
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._told = time.monotonic()
        self._stdout = os.dup(1) if self._on_terminal and os.isatty(1) else None
        self._pipe, self._write = os.pipe()

    def open(self) -> None:
        """Take the terminal over; a signal may come at any time, so that ``close`` gives it back from any line on."""
        self._thread.start()
        os.dup2(self._write, 2)
        if self._stdout is not None:
            os.dup2(self._write, 1)
        os.close(self._write)

    def say(self, text: str) -> None:
        """Show lines above the bars, as long as they are."""
        with self.lock:
            if self._on_terminal:
                self._console.print(Text(text), soft_wrap=True)
            else:
                self._terminal.write(f"{text}\n")

    def close(self, last: str = "") -> None:
        """Give stderr and stdout back, and end with the state of the run or other last words."""
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(self._terminal.fileno(), 2)
        if self._stdout is not None:
            os.dup2(self._stdout, 1)
        if self._thread.is_alive():
            self._thread.join(LAST_S)  # jobs that outlive this process keep the pipe open
        with self.lock:
            self.muted = True
            self._live.stop()
            self.say(last or headline(self._state, time.monotonic()))

    def _picture(self) -> Text:
        with self.lock:
            return picture(self._state, time.monotonic(), *self._console.size)

    def _listen(self) -> None:
        try:
            self._show()
        except Exception as error:  # jobs would wait for whoever reads their words
            self.muted = True
            self._live.stop()
            self.say(f"the display failed ({type(error).__name__}: {error}); what follows is shown as it comes")
            while read := os.read(self._pipe, 1 << 16):
                os.write(self._terminal.fileno(), read)

    def _show(self) -> None:
        if self._on_terminal:
            self._live.start()
        else:
            stages = [job.stage for job in self._state.jobs.values()]
            self.say(f"{len(stages)} jobs: {counted(stages)}")
        pending = b""
        while True:
            ready, _, _ = select.select([self._pipe], [], [], TICK_S)
            if ready:
                read = os.read(self._pipe, 1 << 16)
                if not read:
                    break
                *lines, pending = (pending + read).split(b"\n")
                for one in lines:
                    self._hear(one.decode(errors="replace"))
            self._tick()
        if pending:
            self._hear(pending.decode(errors="replace"))

    def _hear(self, text: str) -> None:
        with self.lock:
            if text.startswith(MARK):
                self._state.progress(json.loads(text.removeprefix(MARK)), time.monotonic())
            elif not self.muted:
                self.say(text.rpartition("\r")[2])

    def _tick(self) -> None:
        with self.lock:
            if self._on_terminal:
                self._live.refresh()
            elif time.monotonic() - self._told >= LINE_S and not self.muted:
                self._told = time.monotonic()
                self.say(line(self._state, self._told))
