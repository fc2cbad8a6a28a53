"""refq golden: the installed test vectors."""

import click

from refq.jobs import golden


@click.group(help="The installed golden vectors.")
def command():
    pass


@command.command()
def check():
    """Verify every file against MANIFEST.json."""
    files, cases = golden.check()
    click.echo(f"{files} files, {cases} cases, as MANIFEST.json has them: {golden.folder()}")
