"""What `refq quantize` takes for methods that alter the model, look at a text, or lay grids on activations."""

from typing import NamedTuple

import click

from refq.app import options
from refq.errors import UsageError
from refq.jobs.calibrated import Calibration, Run
from refq.jobs.methods.recipe import METHODS, method_steps, read_steps

PLAIN = ("affine", "rtn")  # rounding to nearest, which needs nothing of this
NAMES = tuple(METHODS)
VALUES = ("recipe", "calibration", "activations", "activation_range", "sequences", "context", "seed", "states_memory")
_OPTIONS = [
    click.option("--recipe", type=options.FILE, help="A TOML file of steps, instead of one --method."),
    click.option("--calibration", type=options.FILE, help="A text for methods that look at what passes."),
    click.option(
        "--activations",
        "activations",
        type=click.IntRange(2, 16),
        help="Bits of the inputs of quantized layers, and of queries, keys and values; floats if not given.",
    ),
    options.setting(
        Calibration(()),
        "activation_range",
        click.Choice(("token", "tensor")),
        "A grid for each token, or static grids for the inputs of layers.",
    ),
    options.setting(Calibration(()), "sequences", options.COUNT, "Windows of the text that are used."),
    options.setting(Calibration(()), "context", click.IntRange(min=2), "Tokens of a window."),
    options.setting(Calibration(()), "seed", click.IntRange(0, 2**31), "Which windows, and what a method draws."),
    click.option(
        "--states-memory",
        type=click.IntRange(min=0),
        default=Run().states_memory // 2**20,
        show_default=True,
        metavar="MiB",
        help="Memory for what passes between blocks; beyond it files are used.",
    ),
]
NEEDED_BY = {
    "--activation-range",
    "--calibration",
    "--sequences",
    "--context",
    "--seed",
    "--states-memory",
}  # without them none of these


def takes_them(command):
    """A decorator: the options of this file."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class Asked(NamedTuple):
    """What the command line asks for: see quantize_calibrated."""

    calibration: Calibration
    text: str | None
    run: Run


def asked(settings, given, flags):
    """Asked, or None where rounding tensor after tensor will do; `settings` is left with what Options takes.

    Parameters
        settings: dict of all values of the command, with "method".
        given: names of the options that stand on the command line.
        flags: (resume, overwrite).
    """
    values = {name: settings.pop(name) for name in VALUES}
    method, recipe = settings["method"], values.pop("recipe")
    if method in PLAIN or method in NAMES:
        settings["method"] = "affine"
    if method not in set(NAMES) - set(PLAIN) and not given & {"--recipe", "--activations"}:
        if given & NEEDED_BY:
            raise UsageError(
                f"--method {method} looks at no text: it goes with no {', '.join(sorted(given & NEEDED_BY))}"
            )
        return None
    steps, memory = _steps(method, recipe, given), values.pop("states_memory") * 2**20
    text = values.pop("calibration")
    return Asked(Calibration(steps, **values), text, Run(*flags, memory))


def _steps(method, recipe, given):
    if recipe is None:
        if method not in (*PLAIN, *NAMES):
            raise UsageError(f"--method {method} fits codebooks: it goes with no --activations")
        return method_steps("rtn" if method in PLAIN else method)
    if "--method" in given:
        raise UsageError("--recipe says what is done; it goes with no --method")
    return read_steps(recipe)
