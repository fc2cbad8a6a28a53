"""refq conform: the golden cases on any implementation."""

import sys

import click

from refq.app import engine
from refq.errors import UsageError
from refq.jobs import conform, conform_report
from refq.jobs.foreign import Program
from refq.jobs.output import write_whole

READABLE = click.Path(exists=True, dir_okay=False, readable=True)


@click.command()
@click.option(
    "--module", "modules", multiple=True, metavar="M", help="A Python module or .py file with our names; may repeat."
)
@click.option("--command", "commands", multiple=True, metavar="C", help="A program that speaks JSON lines; may repeat.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this function; may repeat.")
@click.option("--xfails", type=READABLE, metavar="FILE", help="Cases expected to fail; one that passes is a failure.")
@click.option("--report", multiple=True, metavar="FILE", help="Also write FILE.xml (JUnit), .json or .md; may repeat.")
def command(modules, commands, only, xfails, report):
    """Run the golden cases on refq and refq_fast, or on other implementations.

    golden/README.md says how to write one. Exit code 1 when a case fails or none ran.
    """
    writers = {path: conform_report.writer(path) for path in report}
    if xfails and len(modules) + len(commands) != 1:
        raise UsageError("--xfails is about one implementation; give one --module or one --command")
    implementations = [*map(conform.Module, modules), *map(Program, commands)]
    if not implementations:
        implementations = [conform.Module(engine.load(name)) for name in ("reference", "fast")]
    expected = conform.read_xfails(xfails) if xfails else ()
    found = conform.conform(implementations, only, expected, _say)
    click.echo(conform_report.table(found), nl=False)
    for path, write in writers.items():
        write_whole(path, write(found))
    if not conform.succeeded(found):
        raise SystemExit(1)


def _say(text):
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)
