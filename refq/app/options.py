"""Options that several verbs share."""

import os

import click

from refq.jobs.plan import FALLBACKS, RANGES

LARGEST = 2.0**128 - 2.0**104  # of float32


class ModelDirectory(click.Path):
    """A directory that exists, or a file whose name has one of some endings."""

    def __init__(self, *endings):
        super().__init__(exists=True, file_okay=bool(endings))
        self.endings = endings

    def convert(self, value, param, ctx):
        if os.path.isfile(value) and not value.lower().endswith(self.endings):
            files = f" or a {' or '.join(self.endings)} file" if self.endings else ""
            self.fail(f"it must be a model directory{files}; {value!r} is a file", param, ctx)
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


class Activations(click.ParamType):
    """stored, off, or a number of bits."""

    name = "stored|off|2..16"

    def convert(self, value, param, ctx):
        if value in ("stored", "off") or isinstance(value, int):
            return value
        if value not in map(str, range(2, 17)):
            self.fail(f"{value!r} is not 'stored', 'off' or a number of 2..16", param, ctx)
        return int(value)


class GroupSize(click.ParamType):
    """channel, tensor, or a number of weights."""

    name = "channel|tensor|N"

    def convert(self, value, param, ctx):
        if value in ("channel", "tensor") or isinstance(value, int):
            return value
        if not value.isascii() or not value.isdigit() or not 1 <= len(value) <= 8 or int(value) < 1:
            self.fail(f"{value!r} is not 'channel', 'tensor' or a positive number", param, ctx)
        return int(value)


def setting(usual, name, kind, text):
    """The option for a field of the named tuple `usual`, whose value there is the default."""
    flag, default = f"--{name.replace('_', '-')}", getattr(usual, name)
    shown = ",".join(default) if isinstance(default, tuple) else True
    return click.option(flag, type=kind, default=default, show_default=shown, help=text)


def group_size(default, text):
    kind = GroupSize()
    return click.option("--group-size", type=kind, metavar=kind.name, default=default, show_default=True, help=text)


def rule(text):
    return click.option("--range", "rule", type=click.Choice(RANGES), default="minmax", show_default=True, help=text)


COUNT, FILE, DIRECTORY = click.IntRange(min=1), click.Path(exists=True, dir_okay=False), ModelDirectory()

model = click.argument("model", type=DIRECTORY)
MODEL = ModelDirectory(".gguf")
readable_model = click.argument("model", type=MODEL)
engine = click.option(
    "--engine", type=click.Choice(["fast", "reference"]), default="fast", show_default=True, help="Who computes."
)
threads = click.option("--threads", type=COUNT, help="Threads; all cores if not given.")
activations = click.option(
    "--activations",
    type=Activations(),
    metavar=Activations.name,
    default="stored",
    show_default=True,
    help="Quantize the inputs of linear layers and of attention as the model's files say, or not at all; or those of "
    "low-bit layers, each token to so many bits.",
)
head_bits = click.option(
    "--head-bits", type=click.IntRange(2, 8), help="Quantize the output layer when it is loaded, for speed."
)
cache_bits = click.option("--cache-bits", type=click.IntRange(8, 8), help="Keys and values as codes of so many bits.")
symmetric = click.option(
    "--symmetric/--asymmetric", default=True, show_default=True, help="Without or with zero points."
)
fallback = click.option(
    "--fallback",
    type=click.Choice(FALLBACKS),
    default="refuse",
    show_default=True,
    help="What to do with layers that the group size does not divide.",
)
save_every = click.option(
    "--save-every", type=COUNT, default=50, show_default=True, help="Steps between two checkpoints of the run."
)
recompute = click.option(
    "--recompute", is_flag=True, help="Compute blocks again on the way back: less memory, more time, the same bytes."
)
resume = click.option("--resume", is_flag=True, help="Continue a run that was killed.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace OUT, at the end.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
