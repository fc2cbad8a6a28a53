"""The dated results of a machine: results/DATE-NAME, with the processor's name where speed is told."""

import datetime
import os
import pathlib
import platform

import llvmlite.binding

from refq.app.info import cpu_name

TODAY = datetime.date.today().isoformat()
RESULTS = pathlib.Path(__file__).parent / "results"
KIND = llvmlite.binding.get_host_cpu_name()  # "znver4", where the name alone says no generation
PROCESSOR = f"{cpu_name()} ({KIND}), {os.cpu_count()} cores"
MACHINE = {"processor": cpu_name(), "kind": KIND, "cores": os.cpu_count(), "python": platform.python_version()}


def dated(name):
    """The path of a result that every machine finds."""
    return RESULTS / f"{TODAY}-{name}"


def timed(name):
    """The path, without its ending, of one that this machine finds."""
    return dated(f"{name}-{KIND}")
