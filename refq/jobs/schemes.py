"""Every scheme on one model: bits per weight, error, and perplexity, of models that are never written."""

import math

from refq.files.checkpoint import open_checkpoint
from refq.files.header import DTYPES
from refq.files.tokenizer import open_tokenizer
from refq.jobs.figures import error_figures, six_digits
from refq.jobs.layer import Source
from refq.jobs.model import load_model
from refq.jobs.perplexity import check_sizes, cut_windows, score
from refq.jobs.plan import METHODS, Options, plan_files, plan_schemes
from refq.jobs.progress import progress
from refq.jobs.quantized_weight import quantized_weight
from refq.jobs.text import cut_documents, read_documents

GROUP = 32  # of affine grids, where no size is asked for: what quantize takes


def compared_options(widths, size=None, keep=()):
    """The Options of every scheme, in the order of the table.

    Parameters
        widths: bits of a code, each 1..8.
        size: as Options.group_size; None for one a tensor and one a channel, and groups of GROUP of affine grids.
        keep: as in Options.
    """
    found = []
    for bits in widths:
        for method in METHODS:
            if (method == "nf4" and bits != 4) or (method == "affine" and bits < 2):
                continue
            usual = ("tensor", "channel", GROUP) if method == "affine" else ("tensor", "channel")
            for group_size in usual if size is None else (size,):
                for symmetric in (True, False) if method == "affine" else (True,):
                    found.append(Options(bits, group_size, symmetric, "minmax", "channel", tuple(keep), method))
    return found


def compare(model, engine, chosen, text=None, context=256, limit=None):
    """What each of the Options would make of a model.

    Parameters
        model: directory of a float model.
        engine: refq or refq_fast.
        chosen: list of Options.
        text: path of a UTF-8 file to score, or None.
        context, limit: as perplexity takes them.
    Returns
        list of dicts method, bits, group_size, symmetric, bits_per_weight, sqnr_db, perplexity: the float model first
        (method "float"), then those of `chosen`. Figures are of all quantized layers together, scales and codebooks
        counted; a perplexity beyond float64, or without a text, is None.
    Raises
        as quantize_model and perplexity.
    """
    checkpoint = open_checkpoint(model)
    plans = [_units(checkpoint, options) for options in chosen]
    config, params = load_model(model, engine)
    windows = None
    if text is not None:
        tokens = cut_documents(read_documents(text)[1], open_tokenizer(model, config["vocab_size"]))
        check_sizes(config, len(tokens), context, limit, text)
        windows = cut_windows(tokens[:limit], context)
    size = sum(info.end - info.start for _, info in checkpoint.tensors.values())
    weights = sum(math.prod(info.shape) for _, info in checkpoint.tensors.values())
    unknown = {"bits": None, "group_size": None, "symmetric": None, "sqnr_db": None}
    rows = [{"method": "float"} | unknown | {"bits_per_weight": six_digits(8 * size / weights)}]
    rows[0]["perplexity"] = _perplexity(engine, config, params, windows)
    with progress(sum(math.prod(unit.shape) for units in plans for unit in units), "weights", "comparing") as advance:
        for options, units in zip(chosen, plans, strict=True):
            row, changed = _quantized(units, Source(checkpoint, engine, options), advance)
            rows.append(row | {"perplexity": _perplexity(engine, config, params | changed, windows)})
    return rows


def _units(checkpoint, options):
    files = plan_files(checkpoint, plan_schemes(checkpoint, options))
    return [unit for units in files.values() for unit in units if unit.scheme]


def _quantized(units, source, advance):
    """The figures of one scheme, and the weights that it makes."""
    params, errors, size = {}, [], 0
    for unit in units:
        params[unit.name] = quantized_weight(unit, source, errors)
        size += sum(DTYPES[dtype].itemsize * math.prod(shape) for _, dtype, shape in unit.parts)
        advance(math.prod(unit.shape))
    options = source.options
    row = {name: getattr(options, name) for name in ("method", "bits", "group_size", "symmetric")}
    row["symmetric"] = row["symmetric"] if options.method == "affine" else None
    weights = sum(math.prod(unit.shape) for unit in units)
    return row | {
        "bits_per_weight": six_digits(8 * size / weights),
        "sqnr_db": error_figures(errors)["sqnr_db"],
    }, params


def _perplexity(engine, config, params, windows):
    if windows is None:
        return None
    nats = score(engine, [(config, params)], windows)[0] / (windows.shape[0] * (windows.shape[1] - 1))
    return six_digits(math.exp(nats)) if nats < 700 else None
