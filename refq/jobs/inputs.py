"""Read a model once before working on it: the digest of every file, and every weight finite."""

import fnmatch
import hashlib
import os
import threading

import numpy as np

from refq.errors import CheckpointError
from refq.files.safetensors import opened, read_header, read_rows, read_tensor
from refq.files.strict import read_bytes, read_json
from refq.files.tokenizer import open_tokenizer, special_ids
from refq.jobs.plan import row_chunks
from refq.jobs.progress import progress
from refq.jobs.workers import in_order

# files that belong to a model whatever its weights are
CARRIED = (
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "generation_config.json", "chat_template.jinja", "chat_template.json"),
    *("LICENSE*", "NOTICE*", "USE_POLICY*"),
)
CEILING = 2**28  # bytes of a carried file
# the bits of infinity in each float, as a whole number: those of a finite number without its sign are less
_INFINITY = {
    "F32": ((np.int32, np.uint32), 0x7F800000),
    "F16": ((np.int16, np.uint16), 0x7C00),
    "BF16": ((np.int16, np.uint16), 0x7F80),
}


def check_inputs(checkpoint, engine=None):
    """Read every file that decides the output; refuses a weight that is not finite.

    Parameters
        checkpoint: the model.
        engine: whose threads read; None for one.
    Returns
        digests: dict, file name -> sha256 in hex, sorted by name.
        largest: dict, tensor name -> largest magnitude in it.
    Raises
        CheckpointError: NaN or infinity, with file, tensor and place; a carried JSON file that is malformed.
        TokenizerError: a tokenizer.json that is missing, malformed, or larger than the embedding.
    """
    digests, largest, files = {}, {}, checkpoint.files
    for name in ("config.json", *carried(checkpoint.directory)):
        digests[name] = hashlib.sha256(read_small(checkpoint.directory, name)).hexdigest()
        if name.endswith(".json"):
            read_json(os.path.join(checkpoint.directory, name), CEILING, CheckpointError)
    tokenizer = open_tokenizer(checkpoint.directory, checkpoint.config["vocab_size"])
    if "bos_token_id" in checkpoint.config:  # an encoder has no such tokens
        special_ids(checkpoint.directory, checkpoint.config, tokenizer)
    # a digest is taken in order: threads share the pieces of a single file, and of several each takes whole ones
    alone, turn = len(files) == 1, threading.Lock()
    with progress(sum(map(os.path.getsize, files)), "B", "checking") as advance:

        def check(file):
            return _check_weights(file, engine if alone else None, advance, turn)

        for file, (digest, found) in zip(files, in_order(None if alone else engine, check, files), strict=True):
            digests[os.path.basename(file)] = digest
            largest |= found
    return dict(sorted(digests.items())), largest


def carried(directory):
    """Names of the files beside the weights that the output has too."""
    return [name for name in sorted(os.listdir(directory)) if is_carried(name)]


def is_carried(name):
    """Whether a name is that of a file which the output has too."""
    return "/" not in name and any(fnmatch.fnmatchcase(name, pattern) for pattern in CARRIED)


def read_small(directory, name, digest=None):
    """A small file whole; if its sha256 is not `digest`, it has changed since it was checked."""
    path = os.path.join(directory, name)
    data = read_bytes(path, CEILING, CheckpointError)
    if digest not in (None, hashlib.sha256(data).hexdigest()):
        raise CheckpointError(f"{path}: the file has changed since it was checked")
    return data


def digest_of(path):
    """The sha256 of a large file, in hex."""
    with open(path, "rb") as file, progress(os.path.getsize(path), "B", "checking") as advance:
        digest = hashlib.sha256()
        for piece in iter(lambda: file.read(2**22), b""):
            digest.update(piece)
            advance(len(piece))
    return digest.hexdigest()


def _check_weights(file, engine, advance, turn):
    """The digest of a file, and the largest magnitude in each tensor, which other threads look for meanwhile."""
    header, digest, largest = read_header(file), hashlib.sha256(), {}
    with opened(file) as descriptor:
        digest.update(os.pread(descriptor, header.size, 0))

        def look(piece):
            info, start, stop = piece
            rows = read_rows(descriptor, info, start, stop) if info.shape else read_tensor(descriptor, info)
            return info.name, rows, _largest(rows, start, info, file)

        # in file order and without gaps, so the digest is that of the file
        for name, rows, found in in_order(engine, look, _all_rows(header.tensors.values())):
            digest.update(rows.reshape(-1).view(np.uint8))
            largest[name] = max(largest.get(name, 0.0), found)
            with turn:
                advance(rows.nbytes)
    return digest.hexdigest(), largest


def _all_rows(tensors):
    for info in tensors:
        for start, stop in row_chunks(info.shape) if info.shape else [(0, 0)]:
            yield info, start, stop


def _largest(rows, start, info, file):
    if info.dtype not in _INFINITY or not rows.size:
        return 0.0
    (signed, unsigned), infinity = _INFINITY[info.dtype]
    words = rows.reshape(-1)
    # in two's complement the largest magnitude above 0 is the largest number, that below 0 the largest without a sign
    sign = np.iinfo(unsigned).max // 2 + 1
    found = max(int(words.view(signed).max()), int(words.view(unsigned).max()) - sign, 0)
    if found >= infinity:
        at = int(np.argmax((words.view(unsigned) & unsigned(sign - 1)) >= infinity))
        place = list(np.unravel_index(at, rows.shape))
        where = ", ".join(str(n + (start if axis == 0 else 0)) for axis, n in enumerate(place))
        raise CheckpointError(f"{file}: tensor {info.name}[{where}] is {words[at]}; every weight must be finite")
    return float(unsigned(found).view(rows.dtype))
