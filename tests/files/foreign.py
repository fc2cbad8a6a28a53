"""Small model directories in the formats of other programs, of random words; and what breaks them."""

import json
import math

import numpy as np
import pytest

import refq
from refq.errors import CheckpointError, FileError, FormatError
from refq.files.checkpoint import linear_names, llama_tensors, open_checkpoint
from refq.files.config import read_config
from refq.files.header import DTYPES
from refq.jobs.model import load_model
from tests.files.models import save, write_config

LAYER = "model.layers.1.mlp.down_proj"
_ALTERED = {
    "missing": None,
    "in int64": lambda array: array.astype(np.int64),
    "as int16": lambda array: array.view(np.int16),
    "turned": lambda array: np.ascontiguousarray(array.T),
    "a row short": lambda array: array[1:],
    "a column short": lambda array: array[:, 1:],
    "empty": lambda array: array[:0],
    "with an axis more": lambda array: array[None],
}


def foreign(directory, packed, fill, dtype=np.float16, **config):
    """A whole directory: float tensors of random numbers, and layers of random words.

    Parameters
        packed: function of (layer, shape), tensor name -> (dtypes, shape).
        fill: function of (tensor name, shape), the array where random words will not do; else None.
        config: keys of config.json.
    """
    write_config(directory, **config)
    read, random = read_config(directory / "config.json"), np.random.default_rng(0)
    tensors = {name: random.standard_normal(shape).astype(dtype) for name, shape in llama_tensors(read).items()}
    for layer in linear_names(read):
        shape = tensors.pop(f"{layer}.weight").shape
        for name, (dtypes, size) in packed(layer, shape).items():
            array = fill(name, size)
            if array is None:
                data = random.bytes(math.prod(size) * DTYPES[dtypes[0]].itemsize)
                array = np.frombuffer(data, DTYPES[dtypes[0]]).reshape(size)
            tensors[name] = array
    save(directory / "model.safetensors", tensors, {"format": "pt"})
    return tensors


def scales(shape):
    """Scales of 1/64 .. 8/64."""
    return np.random.default_rng(1).integers(1, 9, shape).astype(np.float16) / 64


def altered(how, *suffixes):
    """Changes for `rewritten`, by a name for each: a tensor of LAYER that is altered so."""
    return {f"{suffix} {how}": {suffix: _ALTERED[how]} for suffix in suffixes}


def rewritten(directory, tensors, changes):
    """The directory with tensors of LAYER changed: suffix -> array, function of the array, or None to take it away."""
    tensors = dict(tensors)
    for suffix, change in changes.items():
        name = suffix if suffix.startswith("model.") else f"{LAYER}.{suffix}"
        if change is None:
            del tensors[name]
        else:
            tensors[name] = change(tensors[name]) if callable(change) else change
    save(directory / "model.safetensors", tensors, {"format": "pt"})


def reconfigured(directory, key, **changes):
    """config.json with its object under `key` changed; a value of ... takes a key away."""
    path = directory / "config.json"
    raw = json.loads(path.read_text())
    raw[key] = {name: value for name, value in (raw[key] | changes).items() if value is not ...}
    path.write_text(json.dumps(raw))


def check_setting_refused(directory, changes, *keys):
    """A directory with another setting, under all these keys of config.json, is not opened."""
    for key in keys:
        reconfigured(directory, key, **changes)
    with pytest.raises((FormatError, CheckpointError), match=r"config\.json"):
        open_checkpoint(directory)


def check_tensors_refused(directory, tensors, changes):
    """A directory with other tensors is not opened."""
    rewritten(directory, tensors, changes)
    with pytest.raises(FileError, match="tensor"):
        open_checkpoint(directory)


def check_numbers_refused(directory, tensors, changes):
    """A directory with other numbers in LAYER is not loaded."""
    rewritten(directory, tensors, changes)
    with pytest.raises(CheckpointError, match=LAYER):
        load_model(directory, refq)
