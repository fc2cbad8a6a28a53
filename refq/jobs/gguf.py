"""A GGUF file to the parameters of an engine: affine blocks stay packed, every other type becomes floats."""

import functools

import numpy as np

from refq.errors import CheckpointError, FormatError, RefqError
from refq.files.checkpoint import check_finite, llama_tensors
from refq.files.gguf import open_gguf
from refq.files.gguf_model import FACTORS, check_gguf_tensors, gguf_name, heads_of, read_gguf_config, rows_from_gguf
from refq.files.strict import parse_json
from refq.jobs import export_plan
from refq.jobs.figures import six_digits
from refq.jobs.plan import row_chunks
from refq.jobs.progress import progress
from refq.jobs.stored import packed
from refq.jobs.stored_grid import Grid
from refq.ops.rope import rope_frequencies

CHAT_TEMPLATE = "tokenizer.chat_template"
RUN = "refq.run"  # the run record of a file that we wrote
FLOATS = {"F32": "<f4", "F16": "<f2"}
PACKED = {"Q4_0": 4, "Q4_1": 4, "Q5_0": 5, "Q8_0": 8}
LARGEST = 2**13  # |zero_point| of a Q4_1 that stays packed: (q - zero_point) * scale is exact


def load_gguf(path, engine):
    """Read a GGUF file into the parameters that `llama_forward` takes, as load_model does.

    A linear layer of Q4_0, Q5_0 or Q8_0, or of Q4_1 whose minima are whole steps, becomes engine.PackedWeight; what
    else the file holds becomes float32, the numbers that llama.cpp makes of it.

    Returns
        config, params: see load_model.
    Raises
        FileError: a malformed file, a model that we do not support, or a number that is not finite.
    """
    file, config, shapes = open_model(path)
    params = {}
    with progress(sum(int(np.prod(shape)) for shape in shapes.values()), "weights", "loading") as advance:
        for name, shape in shapes.items():
            grid = read_blocks(file, name, config, engine) if is_linear(name) else None
            params[name] = read_tensor(file, name, config, engine) if grid is None else packed(grid, engine)
            advance(int(np.prod(shape)))
    return config | {"attention_activations": None}, params


def open_model(path):
    """(GgufFile, config, Hugging Face name -> shape) of a GGUF file, everything checked but the numbers."""
    file = open_gguf(path)
    config = read_gguf_config(file.header, path)
    if FACTORS in file.header.tensors:
        config["rope_scaling"] = _rope_scaling(file, config)
    shapes = llama_tensors(config)
    check_gguf_tensors(file.header, shapes, path)
    return file, config, shapes


def list_gguf(path):
    """Name, shape, format, bits_per_weight and bytes of every tensor of a GGUF file, by its Hugging Face name."""
    file, _, shapes = open_model(path)
    for name, shape in shapes.items():
        info = file.header.tensors[gguf_name(name)]
        size, row = info.end - info.start, {"name": name, "kind": None, "shape": list(shape), "format": info.kind}
        yield row | {"bits_per_weight": six_digits(8 * size / int(np.prod(shape))), "bytes": size}


def read_tensor(file, name, config, engine):
    """The tensor of a Hugging Face name as float32, its rows in the order of Hugging Face."""
    x = np.empty(file.header.tensors[gguf_name(name)].shape, np.float32)
    for start, rows in read_rows(file, name, config, engine):
        x[start : start + len(rows)] = rows
    return x


def read_rows(file, name, config, engine):
    """What read_tensor gives, in chunks (start, rows)."""
    info = file.header.tensors[gguf_name(name)]
    if len(info.shape) == 1:
        x = _as_float32(file, info, file.rows(info.name, 0, 1), engine)[0]
        yield 0, check_finite(x, info.name, file.path)[_order(name, info.shape, config)]
        return
    rows = _rows(file, name, config)
    for start, stop in row_chunks(info.shape):
        yield start, check_finite(_as_float32(file, info, rows(start, stop), engine), info.name, file.path, start)


def read_blocks(file, name, config, engine):
    """Grid of a linear layer of affine blocks; None if its type, or a minimum in it, is no affine grid.

    Blocks of zeros get scale 1 and codes 0.
    """
    info = file.header.tensors[gguf_name(name)]
    if info.kind not in PACKED:
        return None
    unpack = functools.partial(told, file.path, info.name, getattr(engine, f"unpack_{info.kind.lower()}"))
    rows, parts = _rows(file, name, config), []
    for chunk in row_chunks(info.shape):
        _, *numbers = unpack(rows(*chunk))
        parts.append(_affine(*numbers))
        if parts[-1] is None:
            return None

    def codes(start, stop):
        u, stored, *minimum = unpack(rows(start, stop))
        q = np.where(np.repeat(stored == 0, info.shape[1] // stored.shape[1], axis=1), 0, u)
        return q - 8 if minimum else q

    return Grid(*map(np.concatenate, zip(*parts, strict=True)), codes, info.shape[1], PACKED[info.kind])


def run_of(file):
    """The run record of a GgufFile; None if others wrote it."""
    if RUN not in file.header.metadata:
        return None
    run = parse_json(str(file.header.metadata[RUN].value).encode(), f"{file.path}: {RUN}", FormatError)
    if not isinstance(run, dict):
        raise FormatError(f"{file.path}: {RUN} is not what refq writes")
    return run


def memory_bound(config):
    """Bytes that an export or import stays below: eight a weight of the largest layer of the blocks, and 300 MB."""
    layers = (shape for name, shape in llama_tensors(config).items() if name.endswith("_proj.weight"))
    return export_plan.memory_bound(layers)


def is_linear(name):
    """Whether a Hugging Face name is that of the weight of a linear layer."""
    return name.endswith("_proj.weight") or name == "lm_head.weight"


def rope_factors(config):
    """What llama.cpp divides the rotary frequencies by, float32 (head_dim / 2,), with a rope_scaling of config.json."""
    plain, scaled = (
        rope_frequencies(config["head_dim"], config["rope_theta"], s) for s in (None, config["rope_scaling"])
    )
    return (plain / scaled).astype(np.float32)


def as_stored(x, kind):
    """float32 numbers that F32, F16 or BF16 holds, as that has them."""
    return (x.view(np.uint32) >> np.uint32(16)).astype("<u2") if kind == "BF16" else x.astype(FLOATS[kind])


def _rope_scaling(file, config):
    """The numbers of llama3 that give the factors of a file, which holds nothing else of them."""
    info = file.header.tensors[FACTORS]
    if info.shape != (config["head_dim"] // 2,) or info.kind != "F32":
        raise FormatError(
            f"{file.path}: {FACTORS} is {info.kind} of shape {list(info.shape)}; F32, half a head, is due"
        )
    found = file.rows(FACTORS, 0, 1).view("<f4")[0]
    for positions in (2**n for n in range(10, 18)):
        scaling = {"rope_type": "llama3", "factor": float(found.max(initial=1)), "low_freq_factor": 1.0}
        scaling |= {"high_freq_factor": 4.0, "original_max_position_embeddings": positions}
        if np.allclose(rope_factors(config | {"rope_scaling": scaling}), found, rtol=1e-6, atol=0):
            return scaling
    raise FormatError(
        f"{file.path}: {FACTORS} are not those of Llama 3 (frequency factors 1 and 4); others are not read"
    )


def _order(name, shape, config):
    """The place in the file of every row of a tensor."""
    heads = heads_of(name, config)
    return rows_from_gguf(shape[0], heads) if heads else slice(None)


def _as_float32(file, info, raw, engine):
    if info.kind == "BF16":
        return (raw.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    if info.kind in FLOATS:
        return raw.view(FLOATS[info.kind]).astype(np.float32)
    return told(file.path, info.name, getattr(engine, f"decode_{info.kind.lower()}"), raw)


def _rows(file, name, config):
    """A function of (start, stop): the bytes of rows of a weight, in the order of Hugging Face."""
    info = file.header.tensors[gguf_name(name)]
    if not heads_of(name, config):
        return functools.partial(file.rows, info.name)
    whole = file.rows(info.name, 0, info.shape[0])[_order(name, info.shape, config)]
    return lambda start, stop: whole[start:stop]


def _affine(scale, minimum=None):
    """Scale without zeros, and zero_point of signed codes, that give the same numbers; None if there are none."""
    none = scale == 0
    if minimum is None:
        return np.where(none, np.float32(1), scale), np.zeros(scale.shape, np.int32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        steps = minimum / scale
    exact = np.where(none, minimum == 0, (steps == np.rint(steps)) & (np.abs(steps) < LARGEST))
    if not exact.all():
        return None
    return np.where(none, np.float32(1), scale), -np.where(none, 0, steps).astype(np.int32) - 8


def told(path, name, function, numbers):
    """function(numbers); what is wrong with these is told with the file, or directory, and the tensor."""
    try:
        return function(numbers)
    except RefqError as error:
        raise CheckpointError(f"{path}: tensor {name}: {error}") from None
