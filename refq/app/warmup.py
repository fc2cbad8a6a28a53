"""refq warmup: compile the kernels before somebody waits for them."""

import json

import click

from refq.app import options


@click.command()
@click.option("--all", "everything", is_flag=True, help="Every kernel, not only those of quantize and generate.")
@options.as_json
def command(everything, as_json):
    """Compile the kernels now, once for this installation and this processor.

    Without it each is compiled by the first command that calls it. They are kept on disk; --all also compiles what
    training and analysis call, for float32.
    """
    from refq.app import engine
    from refq.jobs.warmup import warm_up

    found = warm_up(engine.load("fast"), everything)
    about = engine.about()
    report = {"seconds": {name: round(seconds, 3) for name, seconds in found}}
    report |= {key: about[key] for key in ("cache_directory", "cache_bytes")}
    click.echo(json.dumps(report) if as_json else _text(found, report))


def _text(found, report):
    from refq.app.table import table
    from refq.jobs.progress import size

    longest = sorted(found, key=lambda row: -row[1])[:10]
    text = table(("part", "seconds"), [(name, f"{seconds:.1f}") for name, seconds in longest])
    total = sum(seconds for _, seconds in found)
    if report["cache_directory"] is None:
        kept = "nothing is kept: no folder can be written; NUMBA_CACHE_DIR names another"
    else:
        kept = f"kept in {report['cache_directory']}, {size(report['cache_bytes'])}"
    return f"{text}\n\n{len(found)} parts in {total:.1f} s; {kept}"
