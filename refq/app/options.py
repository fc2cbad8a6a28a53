"""Options that several verbs share."""

import click

DIRECTORY = click.Path(exists=True, file_okay=False)

model = click.argument("model", type=DIRECTORY)
engine = click.option(
    "--engine", type=click.Choice(["fast", "reference"]), default="fast", show_default=True, help="Who computes."
)
threads = click.option("--threads", type=click.IntRange(min=1), help="Threads; all cores if not given.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
