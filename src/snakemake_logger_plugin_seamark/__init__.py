"""The words of Snakemake about a run, for people; found by the name of this package (``--logger seamark``)."""

from snakemake_logger_plugin_seamark.handler import LogHandler as LogHandler
