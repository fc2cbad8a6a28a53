"""Where a training run stands, in one safetensors file that is replaced as a whole."""

import json
import os
import zlib

import numpy as np

from refq.errors import CheckpointError
from refq.files.safetensors import read_header, read_tensor
from refq.jobs.arrays import write_arrays
from refq.jobs.journal import canonical

NAME = "state"  # a safetensors file


def save_state(room, params, state, history):
    """Write all that the next step needs.

    Parameters
        room: directory.
        params, state: as kd_step gave them.
        history: float64 (rows, columns), the log so far.
    """
    arrays = {f"params/{name}": array for name, array in params.items()} | {"history": np.asarray(history, np.float64)}
    plain = {}
    for key, value in state.items():
        if isinstance(value, dict) and all(isinstance(item, np.ndarray) for item in value.values()):
            arrays |= {f"{key}/{name}": array for name, array in value.items()}
            plain[key] = None
        else:
            plain[key] = value
    path, plain = os.path.join(room, NAME), canonical(plain)
    checksum = str(_checksum(plain, arrays.values()))
    write_arrays(f"{path}.new", arrays, {"state": plain, "crc32": checksum})
    os.replace(f"{path}.new", path)


def load_state(room):
    """(params, state, history) as they were saved, or None where nothing was.

    Raises
        CheckpointError: a file that is damaged or no such state.
    """
    path = os.path.join(room, NAME)
    if not os.path.exists(path):
        return None
    header = read_header(path)
    if "state" not in header.metadata:
        raise CheckpointError(f"{path}: it is not the state of a training run")
    plain = header.metadata["state"]
    arrays = {name: read_tensor(path, info) for name, info in header.tensors.items()}
    if str(_checksum(plain, arrays.values())) != header.metadata.get("crc32"):
        raise CheckpointError(f"{path}: it is damaged: its checksum is another; without --resume the run begins anew")
    params, state = {}, {key: {} if value is None else value for key, value in json.loads(plain).items()}
    for name, array in arrays.items():
        kind, _, rest = name.partition("/")
        if kind == "history":
            history = array
        elif kind == "params":
            params[rest] = array
        else:
            state[kind][rest] = array
    return params, state, history


def _checksum(plain, arrays):
    crc = zlib.crc32(plain.encode())
    for array in arrays:
        crc = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8), crc)
    return crc
