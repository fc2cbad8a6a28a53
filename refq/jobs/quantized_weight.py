"""A weight as quantize writes it and load_model reads it, with nothing written."""

from typing import NamedTuple

import numpy as np

from refq.jobs.layer import pieces
from refq.jobs.stored import read_weight


def quantized_weight(unit, source, errors):
    """The weight of the engine that stands for a tensor; takes what refq.jobs.layer.pieces does."""
    found = {name: [] for name, _, _ in unit.parts}
    for name, array in pieces(unit, source, errors):
        found[name].append(array)
    parts = {name: np.concatenate(found[name]).reshape(shape) for name, _, shape in unit.parts}
    tensors = dict.fromkeys(parts, source.checkpoint.tensors[unit.name])
    return read_weight(_Written({unit.layer: unit.scheme}, tensors, parts), unit.layer, unit.shape, source.engine)


class _Written(NamedTuple):
    """What read_weight asks of a checkpoint, of one layer that was just quantized and lies in no file."""

    schemes: dict
    tensors: dict
    parts: dict

    def read(self, name):
        return self.parts[name]

    def read_rows(self, name, start, stop):
        return self.parts[name][start:stop]
