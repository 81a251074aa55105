"""The handler that Snakemake gives its records to.

It imports nothing of Seamark: Snakemake loads it before the Snakefile has said which Seamark is the run's.
"""

import signal
import sys
import threading
import time
from collections.abc import Mapping
from logging import LogRecord
from typing import Any

from snakemake.logging import ColorizingTextHandler
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_seamark.display import Display
from snakemake_logger_plugin_seamark.failures import failure
from snakemake_logger_plugin_seamark.reasons import why
from snakemake_logger_plugin_seamark.state import PlannedJob, RunState

STOPPED = 130
SILENT = {
    LogEvent.WORKFLOW_STARTED,
    LogEvent.SHELLCMD,
    LogEvent.JOB_STARTED,
    LogEvent.GROUP_INFO,
    LogEvent.RESOURCES_INFO,
    LogEvent.PROGRESS,
    LogEvent.RULEGRAPH,
    LogEvent.DEBUG_DAG,
}
NOISE = (
    "Assuming unrestricted shared filesystem",
    "Building DAG of jobs",
    "Config file config.yaml is extended",
    "Using shell",
    "Provided ",
    "Select jobs to execute",
    "Complete log",
    "Elapsed time",
    "Exiting because a job execution failed",
    "Some jobs were triggered by provenance",
    "Rules with provenance triggered jobs",
    "Reasons:",
)
"""Beginnings of what Snakemake says and nobody needs; all else is shown."""
FOLLOWS = ("CalledProcessError", "At least one job did not complete successfully")
"""What errors name that only repeat that a job has failed."""


class LogHandler(LogHandlerBase):
    """Shows a run to people; with ``--verbose`` or ``--debug-dag`` it leaves all words to Snakemake."""

    def __post_init__(self) -> None:
        settings = self.common_settings
        self._stream = sys.stdout if settings.stdout else sys.stderr
        own = settings.verbose or settings.debug_dag
        self._own = ColorizingTextHandler(nocolor=settings.nocolor, stream=self._stream) if own else None
        self._display: Display | None = None
        self._state: RunState | None = None
        self._stopped = False
        self._table = ""
        ours = threading.current_thread() is threading.main_thread() and not own
        self._catches = ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._catches:
            signal.signal(signal.SIGINT, self._stop)

    def begin(self, jobs: Mapping[int, Mapping[str, Any]]) -> bool:
        """Take over the terminal when the first job is about to start.

        Parameters
        ----------
        jobs : mapping of int to mapping
            Fields of ``PlannedJob`` by Snakemake's number of the job, in the order of the flow.

        Returns
        -------
        bool
            Whether it listens to jobs that tell of their progress.
        """
        if self._own or self.common_settings.dryrun or self.common_settings.quiet:
            return False
        self._state = RunState({number: PlannedJob(**facts) for number, facts in jobs.items()}, time.monotonic())
        self._display = Display(self._state)
        self._display.open()
        return True

    def emit(self, record: LogRecord) -> None:
        """Show what a record means for the run."""
        event = getattr(record, "event", None)
        if self._own:
            self._own.setFormatter(self.formatter)
            self._own.emit(record)
        elif self._state and event in (LogEvent.JOB_INFO, LogEvent.JOB_FINISHED, LogEvent.JOB_ERROR):
            self._note(self._state, event, record)
        elif not self._stopped and event not in SILENT and (text := self._text(event, record)):
            self._say(text)

    def close(self) -> None:
        """End the display, and say how the run stands where it was stopped or has failed jobs."""
        if self._catches:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._table:
            self._say(self._table)
        done = f"{len(self._state.finished)} of {len(self._state.jobs)} jobs are done; " if self._state else ""
        stopped = f"stopped; the same command goes on\n{done}nothing is lost" if self._stopped else ""
        if self._display:
            self._display.close(stopped)
            self._display = self._state = None
        elif stopped:
            self._say(stopped)
        self._stopped, self._table = False, ""
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """Whether it writes to stderr or stdout."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Whether it writes to a file."""
        return False

    @property
    def has_filter(self) -> bool:
        """Whether it brings a filter; Snakemake's own knows ``--quiet``."""
        return False

    @property
    def has_formatter(self) -> bool:
        """Whether it brings a formatter."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        """Whether it needs the graph of the rules."""
        return False

    def _note(self, state: RunState, event: str, record: Any) -> None:
        display, now = self._display, time.monotonic()
        if display is None:
            return
        with display.lock:
            if event == LogEvent.JOB_INFO:
                state.start(record.jobid, now)
            elif event == LogEvent.JOB_FINISHED:
                state.finish(record.job_id, now)
            else:
                state.fail(record.jobid)
                if not self._stopped:
                    known = state.jobs.get(record.jobid)
                    display.say(f"\n{failure(known.label if known else record.rule_name, record.log, record.output)}\n")

    def _text(self, event: str | None, record: Any) -> str:
        """Return what is said of a record, nothing if it is not worth a word."""
        text = str(record.msg or "")
        if event == LogEvent.JOB_INFO:
            return f"{record.rule_msg}: {why(record.reason)}" if record.rule_msg else self.format(record)
        if event == LogEvent.RUN_INFO:
            self._table = f"\n{text}" if self.common_settings.dryrun else ""
            return ""
        if event == LogEvent.JOB_ERROR:
            return f"\n{failure(record.rule_name, record.log, record.output)}\n"
        if event == LogEvent.JOB_FINISHED or text.startswith(NOISE):
            return ""
        return "" if event == LogEvent.ERROR and any(words in text for words in FOLLOWS) else text

    def _say(self, text: str) -> None:
        if self._display:
            self._display.say(text)
        else:
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def _stop(self, _number: int, _frame: object) -> None:
        """Stop at Ctrl-C; jobs got it too, and what they say of it helps nobody."""
        self._stopped = True
        if self._display:
            self._display.muted = True
        raise SystemExit(STOPPED)
