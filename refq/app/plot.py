"""refq plot: pictures of a model."""

import json
import os

import click

from refq.app import options
from refq.errors import UsageError
from refq.jobs.output import write_whole

SUFFIXES = ("png", "svg")


@click.group()
def command():
    """Draw what is in a model."""


@command.command()
@options.model
@click.argument("tensor")
@click.option("--bits", type=click.IntRange(1, 8), default=4, show_default=True, help="Bits of an index.")
@click.option("--out", type=click.Path(), required=True, metavar="FILE.png|.svg", help="The picture to write.")
@click.option("--overwrite", is_flag=True, help="Replace the picture.")
@options.engine
@options.as_json
def codebook(model, tensor, bits, out, overwrite, engine, as_json):
    """Draw the weights of TENSOR, a float tensor of MODEL, and the numbers that codebooks keep of them: the optimum of
    k-means above, evenly spaced numbers and the means of even bins below, one codebook for the whole tensor.

    Needs matplotlib: pip install 'refq[report]'. An error is the squared error, as a share of the squares.
    """
    suffix = _checked(out, overwrite)
    try:
        from refq.app.codebook_plot import picture
    except ImportError as error:
        raise UsageError(f"{error.name} cannot be imported; pip install 'refq[report]' brings it") from None
    from refq.app.engine import load
    from refq.jobs.tensor_codebooks import tensor_codebooks

    numbers, found = tensor_codebooks(model, tensor, bits, load(engine))
    write_whole(out, picture(tensor, bits, numbers, found, suffix))
    schemes = {name: {"entries": entries.tolist(), "error": error} for name, (entries, error) in found.items()}
    report = {"out": out, "tensor": tensor, "bits": bits, "weights": len(numbers), "schemes": schemes}
    lines = [f"{name:<16}error {100 * error:.4g} %" for name, (_, error) in found.items()]
    click.echo(json.dumps(report) if as_json else "\n".join([*lines, "", f"{out}: written"]))


def _checked(out, overwrite):
    """png or svg; refuses an OUT that cannot be written, before any work."""
    suffix = os.path.splitext(out)[1].lstrip(".").lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"--out {out}: a name that ends in .png or .svg is needed")
    folder = os.path.dirname(os.path.abspath(out))
    if not os.path.isdir(folder):
        raise UsageError(f"--out {out}: the directory {folder} does not exist")
    if os.path.isdir(out) or (os.path.lexists(out) and not overwrite):
        raise UsageError(f"--out {out} exists; --overwrite replaces a picture")
    return suffix
