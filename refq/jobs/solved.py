"""Blocks that are solved: one safetensors file each in the room of a run, and together the checkpoint to be written."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from refq.files.checkpoint import Checkpoint
from refq.files.reassembled import Outliers, Reassembled, Rotated
from refq.files.safetensors import as_float32, read_header, read_tensor
from refq.jobs.arrays import write_arrays
from refq.jobs.journal import append, canonical
from refq.jobs.methods.block import Block
from refq.transforms.reassembly import Reassembly

GRID = ("scale", "zero_point")


@dataclass(frozen=True)
class Solved(Checkpoint):
    """A checkpoint, some of whose tensors are in other files.

    found: tensor name -> (file, TensorInfo).
    """

    found: dict

    def _read(self, name, read, *rows):
        return read(*self.found[name], *rows) if name in self.found else super()._read(name, read, *rows)


class Grids(Mapping):
    """layer -> (scale, zero_point) of its "weight" or "input", read from the files of blocks when it is asked for."""

    def __init__(self, found, kind):
        self.found, self.kind = found, kind

    def __getitem__(self, layer):
        return tuple(read_tensor(*self.found[f"{layer}.{self.kind}_{part}"]) for part in GRID)

    def __iter__(self):
        end = f".{self.kind}_{GRID[0]}"
        return (name.removesuffix(end) for name in self.found if name.endswith(end))

    def __len__(self):
        return sum(1 for _ in self)


def store(folder, name, block, journal):
    """Write a block, or what stands around the blocks, into `folder`; then it is finished, and the journal says so."""
    arrays, how = {}, {}
    for kind, grids in (("weight", block.grids), ("input", block.input_grids)):
        for layer, grid in grids.items():
            arrays |= {f"{layer}.{kind}_{part}": array for part, array in zip(GRID, grid, strict=True)}
    for layer, form in block.inputs.items():
        if isinstance(form, Reassembly):
            arrays |= {f"{layer}.{part}": index for part, index in form._asdict().items()}
        how[layer] = "reassembled" if isinstance(form, Reassembly) else form
    path = os.path.join(folder, name)
    write_arrays(path, block.params | arrays, {"inputs": canonical(how)})
    append(journal, {"tensor": name, "sha256": _digest(path)})


def load(folder, name, layer, done):
    """The Block that was stored, or None if it is not there, or other bytes are."""
    path = os.path.join(folder, name)
    if name not in done or not os.path.exists(path) or done[name]["sha256"] != _digest(path):
        return None
    header = read_header(path)
    params = {tensor: read_tensor(path, info) for tensor, info in header.tensors.items()}
    inputs, grids = {}, {"weight": {}, "input": {}}
    for one, how in json.loads(header.metadata["inputs"]).items():
        reassembled = how == "reassembled"
        inputs[one] = Reassembly(*(params.pop(f"{one}.{part}") for part in Reassembly._fields)) if reassembled else how
    for kind, found in grids.items():
        for one in [tensor.removesuffix(f".{kind}_scale") for tensor in params if tensor.endswith(f".{kind}_scale")]:
            found[one] = tuple(params.pop(f"{one}.{kind}_{part}") for part in GRID)
    return Block(layer, params, inputs, grids["weight"], grids["input"])


def as_checkpoint(checkpoint, folder, names, schemes):
    """The model to be written: its checkpoint, the schemes of its layers, and the fields of Source that it has.

    Parameters
        checkpoint: of the float model.
        folder, names: of what was stored.
        schemes: layer name -> Scheme, as the plan had it.
    """
    found, transforms, forms = {}, {}, {}
    for name in names:
        path = os.path.join(folder, name)
        header = read_header(path)
        found |= {tensor: (path, info) for tensor, info in header.tensors.items()}
        for layer, how in json.loads(header.metadata["inputs"]).items():
            transforms[layer], form = _transform(path, header, layer, how)
            forms |= {layer: form} if form else {}
    tensors = {name: _entry(checkpoint, name, found) for name in checkpoint.tensors}
    config = checkpoint.config
    if "lm_head.weight" in found and config["tie_word_embeddings"]:
        file, _ = checkpoint.tensors["model.embed_tokens.weight"]
        _, info = found["lm_head.weight"]
        tensors["lm_head.weight"] = file, info
        config = config | {"tie_word_embeddings": False}
    known = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    solved = Solved(**known | {"tensors": tensors, "config": config}, found=found)
    schemes = {layer: scheme._replace(transform=transforms.get(layer)) for layer, scheme in schemes.items()}
    return solved, schemes, {"grids": Grids(found, "weight"), "inputs": Grids(found, "input"), "reassemblies": forms}


def changed(block, checkpoint):
    """The block without the float tensors that are as the model has them, which keep their dtype."""

    def same(name, array):
        return name in checkpoint.tensors and np.array_equal(array, as_float32(checkpoint.read(name)))

    layers = {f"{layer}.weight" for layer in block.grids}
    kept = {name: array for name, array in block.params.items() if name in layers or not same(name, array)}
    return block._replace(params=kept)


def _entry(checkpoint, name, found):
    """Where the plan of the output finds a tensor: in the model's file, but as wide as what replaces it."""
    file, info = checkpoint.tensors[name]
    return file, (info._replace(dtype="F32") if name in found else info)


def _transform(path, header, layer, how):
    if how != "reassembled":
        return (Rotated(how) if isinstance(how, int) else Outliers(how)), None
    form = Reassembly(*(read_tensor(path, header.tensors[f"{layer}.{part}"]) for part in Reassembly._fields))
    return Reassembled(len(form.members), len(form.sizes)), form


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
