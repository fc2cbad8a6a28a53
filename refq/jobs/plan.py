"""What quantize will do to every tensor, known before anything is read or written."""

import fnmatch
import math
import os
from typing import NamedTuple

from refq.errors import CheckpointError, GroupSizeError, UsageError
from refq.files.checkpoint import linear_names
from refq.files.codebook import Codebooks, scheme_of
from refq.files.compressed_tensors import Scheme
from refq.files.header import DTYPES
from refq.files.quantization import packed_tensors, quantization_config, weights_stem
from refq.files.reassembled import Attention, stored_shape
from refq.files.safetensors import header_bytes, plan_offsets
from refq.files.shards import STEM, weight_files

ROW_CHUNK = 2**19  # weights worked on at a time: small enough for the cache, for many threads, and for Ctrl-C
RANGES = ("minmax", "percentile", "mse", "sqnr")
FALLBACKS = ("refuse", "channel")
METHODS = ("affine", "kmeans", "kmeans_optimal", "linear_mean", "linear_round", "quantile", "nf4")


class Options(NamedTuple):
    """What decides the bytes of the output. (Threads, engine and paths do not.)

    bits: 2..8; 1..8 with codebooks, 4 with "nf4".
    group_size: weights that share a scale or a codebook, or "channel", or "tensor".
    symmetric: the zero point is 0.
    range: the rule that fits scales: "minmax", "percentile", "mse" or "sqnr".
    fallback: what to do with a layer that group_size does not divide: "refuse", or "channel".
    keep: patterns of layers that stay float; lm_head always does.
    method: "affine", or the scheme that fits codebooks; these take no symmetric and no range.
    """

    bits: int = 4
    group_size: int | str = 32
    symmetric: bool = True
    range: str = "minmax"
    fallback: str = "refuse"
    keep: tuple = ()
    method: str = "affine"


class Unit(NamedTuple):
    """One tensor of the model: its scheme (None: copied as it is) and the tensors that will stand for it."""

    name: str
    shape: tuple  # in the float model
    scheme: Scheme | Codebooks | None
    parts: list  # of (name, dtype, shape)

    @property
    def layer(self):
        return self.name.removesuffix(".weight")

    @property
    def stored(self):
        """The shape of the weight that is stored, and that is read to make it."""
        return stored_shape(self.shape, self.scheme)


class Layout(NamedTuple):
    """Where everything lies in one output file.

    entries: (name, dtype, shape) in file order.
    spans: tensor name -> (start, end), in bytes from the beginning of the file.
    header, size: bytes of the header, and of the whole file.
    """

    entries: list
    spans: dict
    header: int
    size: int


def plan_schemes(checkpoint, options):
    """Which layers are quantized, and how.

    Parameters
        checkpoint: of a float model.
        options: Options.
    Returns
        dict, layer name -> Scheme or Codebooks, in the order of the model.
    Raises
        GroupSizeError: group_size does not divide the inputs of some layers; all of them are named.
        UsageError: a pattern of keep fits nothing, or fits everything.
    """
    _check_options(options)
    if checkpoint.schemes:
        raise CheckpointError(f"{checkpoint.directory}: the model is quantized already; give the float model")
    names = linear_names(checkpoint.config)
    kept = set()
    for pattern in options.keep:
        fits = {name for name in (*names, "lm_head") if _fits(name, pattern)}
        if not fits:
            raise UsageError(
                f"--keep {pattern} fits no linear layer; {names[0]} is one, and a part needs stars: '*mlp*'"
            )
        kept |= fits
    if kept.issuperset(names):
        raise UsageError("--keep fits every linear layer; nothing is left to quantize")
    widths = {name: checkpoint.tensors[f"{name}.weight"][1].shape[1] for name in names if name not in kept}
    grouped = isinstance(options.group_size, int)
    odd = {name: width for name, width in widths.items() if grouped and width % options.group_size}
    if odd and options.fallback == "refuse":
        raise GroupSizeError(_undivided(odd, widths, options.group_size))
    return {name: _scheme(options, width) for name, width in widths.items()}


def plan_files(checkpoint, schemes, attention=Attention()):  # noqa: B008 (immutable)
    """The units of every output file: one for each input file, of the same name; our own formats name a single one.

    Parameters
        checkpoint: of the model to be written.
        schemes: layer name -> Scheme or Codebooks.
        attention: Attention.
    Returns
        dict, file name -> list of Unit, in the order of the model.
    """
    names = {file: os.path.basename(file) for file in checkpoint.files}
    stem = weights_stem(quantization_config(schemes, [], attention))
    if len(names) == 1 and stem != STEM:
        names = {file: weight_files(stem)[0] for file in names}
    files = {name: [] for name in names.values()}
    for name, (file, info) in checkpoint.tensors.items():
        scheme = schemes.get(name.removesuffix(".weight"))
        parts = [(name, info.dtype, info.shape)]
        if scheme:
            packed = packed_tensors(name.removesuffix(".weight"), info.shape, scheme)
            parts = [(part, dtypes[0], shape) for part, (dtypes, shape) in packed.items()]
        files[names[file]].append(Unit(name, info.shape, scheme, parts))
    return {file: units for file, units in files.items() if units}


def plan_layout(units, metadata):
    """Where the tensors of one file will lie, if its header must have room for `metadata`.

    Wide elements come first, so that every tensor starts at a multiple of its element's size, as readers that map
    the file need it.
    """
    entries = sorted((part for unit in units for part in unit.parts), key=lambda part: -DTYPES[part[1]].itemsize)
    room = len(header_bytes(entries, metadata))
    spans = {
        name: (room + start, room + end)
        for (name, _, _), (start, end) in zip(entries, plan_offsets(entries), strict=True)
    }
    return Layout(entries, spans, room, max(end for _, end in spans.values()))


def row_chunks(shape):
    """Pieces (start, stop) of the first axis, of about ROW_CHUNK elements each; a function of the shape alone.

    >>> list(row_chunks((5, 2**18)))
    [(0, 2), (2, 4), (4, 5)]
    """
    rows = max(1, ROW_CHUNK // max(1, math.prod(shape[1:])))
    return ((start, min(start + rows, shape[0])) for start in range(0, shape[0], rows))


def memory_bound(checkpoint):
    """Bytes of memory that quantizing stays below: four times the largest tensor in float32, and 300 MB."""
    return 16 * max(math.prod(info.shape) for _, info in checkpoint.tensors.values()) + 300_000_000


def _scheme(options, inputs):
    """The scheme of a layer with so many inputs; one a channel where the group size does not divide them."""
    bits, size, symmetric = options.bits, options.group_size, options.symmetric
    if options.method != "affine":
        return scheme_of(bits, size, options.method, inputs)
    if isinstance(size, str) or inputs % size:
        return Scheme(bits, symmetric, size if size == "tensor" else "channel", None)
    return Scheme(bits, symmetric, "group", size)


def _check_options(options):
    size, affine = options.group_size, options.method == "affine"
    widths = {"affine": range(2, 9), "nf4": range(4, 5)}.get(options.method, range(1, 9))
    if options.method in METHODS and options.bits not in widths:
        wanted = f"{widths[0]}..{widths[-1]}" if len(widths) > 1 else widths[0]
        raise UsageError(f"bits is {options.bits}; --method {options.method} takes {wanted}")
    ranges = RANGES if affine else RANGES[:1]
    rules = {
        "method": (options.method in METHODS, ", ".join(METHODS)),
        "symmetric": (affine or options.symmetric, "True, as codebooks have no zero point"),
        "group_size": (
            size in ("channel", "tensor") or (type(size) is int and size > 0),
            "a positive integer, channel, tensor",
        ),
        "range": (options.range in ranges, ", ".join(ranges)),
        "fallback": (options.fallback in FALLBACKS, ", ".join(FALLBACKS)),
    }
    for name, (is_right, allowed) in rules.items():
        if not is_right:
            raise UsageError(f"{name} is {getattr(options, name)!r}; it may be {allowed}")


def _fits(name, pattern):
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"*.{pattern}")


def _undivided(odd, widths, size):
    by_width = {}
    for name, width in odd.items():
        by_width.setdefault(width, []).append(name)
    each = [
        f"{width} inputs ({', '.join(dict.fromkeys(name.rpartition('.')[2] for name in names))}; {_layers(names)}"
        for width, names in by_width.items()
    ]
    # where the widths differ, one may take larger groups than all together
    own = [f"; {_sizes(width)} would do" if len(by_width) > 1 else "" for width in by_width]
    fits = _sizes(math.gcd(*widths.values()))
    return (
        f"group_size={size} does not divide the inputs of {_layers(odd)}: "
        f"{', '.join(text + sizes + ')' for text, sizes in zip(each, own, strict=True))}; "
        f"powers of two that divide all: {fits}; --fallback channel quantizes those {len(odd)} per channel"
    )


def _layers(names):
    return f"{len(names)} layer{'s' * (len(names) != 1)}"


def _sizes(width):
    return ", ".join(str(size) for size in (256, 128, 64, 32, 16, 8, 4, 2) if width % size == 0) or "none"
