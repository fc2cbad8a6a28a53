"""Which file holds which tensor: STEM.safetensors alone, or the shards that STEM.safetensors.index.json names."""

import os
import re

from refq.errors import CheckpointError
from refq.files.safetensors import opened, read_header
from refq.files.strict import read_json, shown

CEILING = 2**23  # bytes of an index
SHARDS = 4096
STEM = "model"  # of all formats but those that other programs would misread
_SHARD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}\.safetensors")
_NUMBERED = re.compile(r"model-\d+-of-\d+\.safetensors")


def weight_files(stem=STEM):
    """Names of the one weight file of a model, and of the index of several."""
    return f"{stem}.safetensors", f"{stem}.safetensors.index.json"


def find_tensors(directory, stem=STEM):
    """Read the headers of all weight files of a model directory; the index and the headers must agree.

    Parameters
        directory: the model directory.
        stem: of the names of the weight file and the index.
    Returns
        tensors: name -> (file, TensorInfo).
        metadata: file -> metadata of its header, in the order of the files.
        identities: file -> identity, to be compared when the file is opened again.
    Raises
        CheckpointError: a file is missing or malformed, or a tensor is not where the index puts it.
    """
    single, shown_index = weight_files(stem)
    index = os.path.join(directory, shown_index)
    weight_map = _weight_map(index, directory) if os.path.lexists(index) else None
    if weight_map is not None and os.path.lexists(os.path.join(directory, single)):
        raise CheckpointError(f"{directory}: {single} and {shown_index} are both there; one must go")
    found, metadata, identities = {}, {}, {}
    for shard in [single] if weight_map is None else sorted(set(weight_map.values())):
        file = os.path.join(directory, shard)
        # before the header: a file swapped in between differs from its identity, and is refused when it is read
        with opened(file) as descriptor:
            identities[file] = identity(descriptor)
        header = read_header(file)
        metadata[file] = header.metadata
        for name, info in header.tensors.items():
            if weight_map is not None and weight_map.get(name) != shard:
                place = shown(weight_map[name]) if name in weight_map else "nowhere"
                raise CheckpointError(f"{file}: tensor {shown(name)} is in this file; {shown_index} puts it {place}")
            found[name] = (file, info)
    for name, shard in (weight_map or {}).items():
        if name not in found:
            raise CheckpointError(f"{index}: tensor {shown(name)} is not in {shard}")
    return found, metadata, identities


def identity(descriptor):
    """What tells an open file from another, or from itself changed later."""
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _weight_map(index, directory):
    raw = read_json(index, CEILING, CheckpointError)
    weight_map = raw.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or raw.keys() - {"metadata", "weight_map"}:
        raise CheckpointError(f"{index}: the keys are {shown(list(raw))}; metadata and a filled weight_map are needed")
    for name, shard in weight_map.items():
        # total_size in metadata is not used: published files give it in different ways
        if not isinstance(shard, str) or not _SHARD.fullmatch(shard):
            raise CheckpointError(
                f"{index}: tensor {shown(name)} is in {shown(shard)}; a plain file name like "
                "'model-00001-of-00002.safetensors' is needed"
            )
    shards = set(weight_map.values())
    if len({shard.casefold() for shard in shards}) < len(shards) or len(shards) > SHARDS:
        raise CheckpointError(f"{index}: {len(shards)} files; at most {SHARDS}, not differing by case alone, are read")
    for name in sorted(os.listdir(directory)):
        if _NUMBERED.fullmatch(name) and name not in shards:
            raise CheckpointError(f"{index}: {name} lies beside it and is not in the weight_map; it must go")
    return weight_map
