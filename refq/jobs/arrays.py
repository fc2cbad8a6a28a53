"""A dict of arrays as one safetensors file, written at once."""

import os

import numpy as np

from refq.files.header import DTYPES
from refq.files.safetensors import header_bytes
from refq.jobs import output

_CODES = {dtype: code for code, dtype in DTYPES.items()}


def write_arrays(path, arrays, metadata):
    """Write a safetensors file whose tensors lie in the order of the dict, and bring it to the disk.

    Parameters
        path: it is overwritten; who needs the old file until the new one is whole renames.
        arrays: dict, name -> array.
        metadata: dict, str -> str.
    """
    header = header_bytes([(name, _CODES[array.dtype], array.shape) for name, array in arrays.items()], metadata)
    with output.allocated(path, len(header) + sum(array.nbytes for array in arrays.values())) as file:
        output.write(file, header, 0)
        at = len(header)
        for array in arrays.values():
            output.write(file, np.ascontiguousarray(array).reshape(-1).view(np.uint8), at)
            at += array.nbytes
        os.fsync(file)
