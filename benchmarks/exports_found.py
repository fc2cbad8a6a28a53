"""What refq says of an export, and how far the answer of another program is from it."""

import functools
import json
import math
import pathlib
from typing import NamedTuple

import numpy as np

import refq_fast
from benchmarks import ggml_inputs
from benchmarks.exports_cases import LIMITS
from refq.files.checkpoint import linear_names, llama_tensors, open_checkpoint
from refq.jobs import gguf
from refq.jobs.model import load_model
from refq.jobs.stored import dequantized
from refq.jobs.stored_grid import read_grid

PERPLEXITY, ROUNDED = 1e-3, 1.5  # the bounds: of the ratio, and of the errors where inputs are rounded


class Ours(NamedTuple):
    """weights: layer -> float32 (N, K). logits: float32 (W, T, V). facts: what a job says of them.

    rounded: the logits of a GGUF file, if inputs of linear layers are rounded as llama.cpp does; else None.
    """

    weights: dict
    logits: np.ndarray
    facts: dict
    rounded: np.ndarray | None


def ours(export, windows):
    """What refq makes of an export: the weights of its source, or of a float model its own, and its logits."""
    quantized = bool(export["case"].quantize)
    file = export["file"] if export["case"].to == "gguf" else export["source"]
    return _ours(file, export["source"] if quantized else None, windows)


@functools.lru_cache(maxsize=2)
def _ours(path, source, windows):
    tokens, rounded = np.load(windows), None
    config, params = load_model(path, refq_fast)
    logits = refq_fast.llama_forward(params, tokens, config)
    if path.suffix == ".gguf":
        rounded = refq_fast.llama_forward(params, tokens, config, ggml_inputs.operations(path, params, refq_fast))
        file, config, _ = gguf.open_model(path)
        names = () if source else linear_names(config)
        weights = {name: gguf.read_tensor(file, f"{name}.weight", config, refq_fast) for name in names}
    if source or path.suffix != ".gguf":
        grids = _grids(open_checkpoint(source or path))
        weights = {layer: dequantized(grid, 0, rows, refq_fast) for layer, (grid, rows) in grids.items()}
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    facts = {"layers": list(weights), "columns": {layer: w.shape[1] for layer, w in weights.items()}, "heads": heads}
    return Ours(weights, logits, facts, rounded)


def returned(source, back):
    """Whether codes, scales and zero points of two directories are the same, weight by weight."""
    before, after = (_grids(open_checkpoint(path)) for path in (source, back))
    return before.keys() == after.keys() and all(
        np.array_equal(*parts)
        for layer, (grid, rows) in before.items()
        for parts in zip(_spread(grid, rows), _spread(*after[layer]), strict=True)
    )


def _grids(checkpoint):
    shapes = llama_tensors(checkpoint.config)
    named = {layer: shapes[f"{layer}.weight"] for layer in checkpoint.schemes}
    return {layer: (read_grid(checkpoint, layer, shape, refq_fast), shape[0]) for layer, shape in named.items()}


def _spread(grid, rows):
    """Codes, scale and zero point of every weight."""
    spread = (np.repeat(part, grid.columns // part.shape[1], axis=1) for part in (grid.scale, grid.zero_point))
    return grid.codes(0, rows), *spread


def compared(export, job, own):
    """A row of the table: what is equal, how far the rest is, and whether that is wrong."""
    case, said = export["case"], pathlib.Path(job["answer"]).with_suffix(".json")
    row = {"program": job["program"], "model": case.model, "grid": case.grid, "to": case.to, "type": case.kind}
    row |= {"asked": job["dtype"], "wrong": False}
    found = json.loads(said.read_text(encoding="utf-8")) if said.exists() else {"error": "the program ended"}
    if "error" in found:
        known = [why for (who, text), why in LIMITS.items() if who == job["program"] and text in found["error"]]
        folder = f"{pathlib.Path(job['answer']).parents[1]}/"
        return row | {
            "error": found["error"].replace(folder, "")[:300],
            "limit": known[0] if known else None,
            "wrong": not known,
        }
    with np.load(job["answer"]) as theirs:
        pairs = [(w, theirs[layer]) for layer, w in own.weights.items()]
        logits = theirs["logits"]
    same = [np.array_equal(w.astype(x.dtype), x) for w, x in pairs]
    row |= {"how": found["how"], "compared_as": sorted({str(x.dtype) for _, x in pairs})}
    row |= {"tensors": len(same), "equal": sum(same), "codes": sum(w.size for w in own.weights.values())}
    targets, error = np.load(job["windows"])[:, 1:], logits - own.logits
    before, after = (_perplexity(each[:, :-1], targets) for each in (own.logits, logits))
    row |= {"perplexity": before, "difference": after / before - 1, "largest_logit": float(np.abs(own.logits).max())}
    row |= {"largest": float(np.abs(error).max()), "rms": _root_mean_square(error)}
    row["top1"] = float((logits.argmax(-1) == own.logits.argmax(-1)).mean())
    if job["program"] == "llama_cpp" and case.kind not in ("f32", "f16"):
        row["rounding"] = _root_mean_square(own.rounded - own.logits)
        row["rounded_alike"] = float(np.median(np.abs(logits - own.rounded)))
        return row | {"wrong": not all(same) or row["rms"] > ROUNDED * row["rounding"]}
    return row | {"wrong": not all(same) or abs(row["difference"]) > PERPLEXITY}


def _root_mean_square(x):
    return math.sqrt(np.square(x, dtype=np.float64).mean())


def _perplexity(logits, targets):
    logits = logits.astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(logits, targets[..., None].astype(np.int64), axis=-1)[..., 0]
    return math.exp((np.log(np.exp(logits).sum(axis=-1)) - chosen).mean())
