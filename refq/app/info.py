"""refq info: this installation, for bug reports."""

import json
import os
import platform

import click

from refq import __version__
from refq.app import options


@click.command()
@options.as_json
def command(as_json):
    """Describe this installation and this machine, for bug reports. Compiles nothing."""
    facts = describe()
    click.echo(
        json.dumps(facts) if as_json else "\n".join(f"{k.replace('_', ' '):<17}{_text(v)}" for k, v in facts.items())
    )


def describe():
    """All facts, as a dict ready for JSON; a fast engine that does not load is a fact too."""
    import numpy
    import threadpoolctl

    from refq.app import engine

    facts = {
        "refq": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "numpy": numpy.__version__,
        "blas": [
            f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')} {pool['num_threads']} threads"
            for pool in threadpoolctl.threadpool_info()
            if pool["user_api"] == "blas"
        ],
    }
    try:
        return facts | engine.about()
    except Exception as error:  # whatever it is, the report must show it
        return facts | {"refq_fast": f"does not load: {type(error).__name__}: {error}"}


def cpu_name():
    """The processor's name where the system tells it."""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _text(value):
    return ", ".join(value) if isinstance(value, list) else value
