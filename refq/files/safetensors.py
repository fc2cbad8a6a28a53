"""safetensors files: a strict reader of single tensors and rows, and the header of a file written as a stream.

Layout: 8 bytes n, little-endian; n bytes of JSON, {name: {dtype, shape, data_offsets}}; the tensors, without gaps.
"""

import contextlib
import json
import os

import numpy as np

from refq.errors import CheckpointError, DtypeError, ShapeError
from refq.files.header import DTYPES, byte_count, parse_header
from refq.files.strict import open_regular, shown

HEADER_BYTES = 100_000_000
_PIECE = 2**24  # bytes of one pread: the only memory beside the array itself


def read_header(path):
    """Read the header of a safetensors file and check it against the file's length.

    Stricter than the safetensors library: no duplicate keys, no unknown fields, no character before the first brace,
    only printable names, at most 100,000 tensors of at most 8 dimensions.

    Raises
        CheckpointError: any rule of the format is broken; the message names the file, the tensor and the rule.
    """
    with opened(path) as file:
        length = os.fstat(file).st_size
        size = 8 + int.from_bytes(os.pread(file, 8, 0), "little")
        if length < 8:
            raise CheckpointError(f"{path}: the file has {length} bytes; a safetensors file has at least 8")
        if size - 8 > HEADER_BYTES:
            raise CheckpointError(f"{path}: the header claims {size - 8} bytes; at most {HEADER_BYTES} are read")
        if size > length:
            raise CheckpointError(f"{path}: the header claims {size - 8} bytes; {length - 8} follow its length")
        raw = b"".join(_pieces(file, 8, size, path))
    return parse_header(raw, length, path)


def read_tensor(file, info):
    """One tensor as a fresh array (never a memory map: mapped pages count as ours).

    Parameters
        file: a path or an open descriptor.
        info: TensorInfo of that file.
    Returns
        array of info.shape; BF16 as ml_dtypes.bfloat16.
    Raises
        CheckpointError: the file ends before the tensor does.
    """
    return _read(file, info, info.start, info.end, info.shape)


def read_rows(file, info, start, stop):
    """Rows start..stop-1 (along the first axis) of one tensor, so that a large one is worked on in pieces."""
    if not info.shape or not 0 <= start <= stop <= info.shape[0]:
        raise ShapeError(f"rows {start}..{stop} of {shown(info.name)} of shape {info.shape} do not exist")
    row = (info.end - info.start) // max(info.shape[0], 1)
    return _read(file, info, info.start + start * row, info.start + stop * row, (stop - start, *info.shape[1:]))


@contextlib.contextmanager
def opened(file):
    """A descriptor for a path, closed at the end; an open descriptor stays as it is."""
    if isinstance(file, int):
        yield file
        return
    descriptor = open_regular(file, CheckpointError)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def as_float32(array):
    """A float16, bfloat16 or float32 array as float32; exact, and no copy of what is float32 already."""
    if array.dtype not in (DTYPES["F32"], DTYPES["F16"], DTYPES["BF16"]):
        raise DtypeError(f"the array is {array.dtype}; float32, float16 or bfloat16 is needed")
    return array.astype(np.float32, copy=False)


def plan_offsets(entries):
    """First and last byte of each tensor, counted from the end of the header.

    >>> plan_offsets([("a", "F32", (2, 3)), ("b", "I8", (5,))])
    [(0, 24), (24, 29)]
    """
    offsets, begin = [], 0
    for name, dtype, shape in entries:
        offsets.append((begin, begin + byte_count(dtype, shape, name, "header")))
        begin = offsets[-1][1]
    return offsets


def header_bytes(entries, metadata, reserve=0):
    """The header of a file whose tensors follow in the order of `entries`, ready to be written before them.

    Written first with some room in `reserve`, it can be written again at the end, in place and with metadata that
    became known only then: give the length of the first one as `reserve`.

    Parameters
        entries: list of (name, dtype as "F32", shape).
        metadata: dict, str -> str.
        reserve: bytes that the header must have, rounded up to a multiple of 8; 0 for as few as possible.
    Returns
        header: bytes, a multiple of 8 long, padded with spaces; the first tensor starts at len(header).
    Raises
        CheckpointError: the reader would refuse it, or it does not fit into `reserve`.

    >>> header_bytes([("a", "I8", (1,))], {})[8:]
    b'{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}   '
    """
    offsets = plan_offsets(entries)
    fields = {"__metadata__": dict(metadata)} if metadata else {}
    for (name, dtype, shape), span in zip(entries, offsets, strict=True):
        if name in fields:
            raise CheckpointError(f"header: the tensor {shown(name)} appears twice")
        fields[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": span}
    text = json.dumps(fields, separators=(",", ":")).encode("ascii")
    needed, room = _multiple_of_8(8 + len(text)), _multiple_of_8(reserve)
    if reserve and needed > room:
        raise CheckpointError(f"header: it needs {needed} bytes; {room} are reserved")
    text = text.ljust(max(needed, room) - 8)
    parse_header(text, 8 + len(text) + (offsets[-1][1] if offsets else 0), "header")
    return len(text).to_bytes(8, "little") + text


def _multiple_of_8(n):
    return -(-n // 8) * 8


def _read(file, info, start, end, shape):
    data, filled = np.empty(end - start, np.uint8), 0
    with opened(file) as descriptor:
        where = f"tensor {shown(info.name)}" if isinstance(file, int) else f"{file}: tensor {shown(info.name)}"
        while filled < data.size:
            count = os.preadv(descriptor, [data[filled : filled + _PIECE]], start + filled)
            if not count:
                raise CheckpointError(f"{where}: the file ends at byte {start + filled}; byte {end} was promised")
            filled += count
    return data.view(DTYPES[info.dtype]).reshape(shape)


def _pieces(descriptor, start, end, what):
    while start < end:
        piece = os.pread(descriptor, min(_PIECE, end - start), start)
        if not piece:
            raise CheckpointError(f"{what}: the file ends at byte {start}; byte {end} was promised")
        yield piece
        start += len(piece)
