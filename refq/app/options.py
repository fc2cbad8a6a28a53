"""Options that several verbs share."""

import os

import click

LARGEST = 2.0**128 - 2.0**104  # of float32


class ModelDirectory(click.Path):
    """A directory that exists."""

    def __init__(self):
        super().__init__(exists=True, file_okay=False)

    def convert(self, value, param, ctx):
        if os.path.isfile(value):
            self.fail(f"it must be a model directory; {value!r} is a file", param, ctx)
        return super().convert(value, param, ctx)


class Real(click.FloatRange):
    """A number of a range that float32 holds: NaN passes every range of click."""

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        if not abs(number) <= LARGEST:
            self.fail(f"{number} is no number of float32, whose largest is {LARGEST:.4g}", param, ctx)
        return number


class Bits(click.ParamType):
    """A number of 1..8, or several with commas between them."""

    name = "1..8"

    def convert(self, value, param, ctx):
        parts = str(value).split(",")
        if not all(part in tuple("12345678") for part in parts) or len(set(parts)) < len(parts):
            self.fail(f"{value!r} is no number of 1..8, nor several like 2,3,4", param, ctx)
        return int(parts[0]) if len(parts) == 1 else tuple(map(int, parts))


DIRECTORY = ModelDirectory()

model = click.argument("model", type=DIRECTORY)
engine = click.option(
    "--engine", type=click.Choice(["fast", "reference"]), default="fast", show_default=True, help="Who computes."
)
threads = click.option("--threads", type=click.IntRange(min=1), help="Threads; all cores if not given.")
activations = click.option(
    "--activations",
    type=click.Choice(("stored", "off")),
    default="stored",
    show_default=True,
    help="Quantize the inputs of linear layers as the model's files say, or not at all.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
