"""A student as the model that it will be: a checkpoint to be written, and what load_model will read of that."""

from dataclasses import dataclass, fields

import numpy as np

from refq.errors import NonFiniteError
from refq.files.checkpoint import Checkpoint
from refq.files.header import DTYPES
from refq.files.safetensors import as_float32
from refq.training.activations import on_input_grids
from refq.training.student import INPUT_SCALE, INPUT_ZERO_POINT, SCALE, forward_weights, grid_of, weight_names


@dataclass(frozen=True)
class Trained(Checkpoint):
    """A checkpoint whose weights are those of a student.

    arrays: what the forward pass uses.
    grids: layer -> (scale, zero_point) of every quantized layer, as they are stored, (out or 1, groups, 1).
    inputs: layer -> (scale, zero_point) of every static input grid, (1,).
    """

    arrays: dict
    grids: dict
    inputs: dict

    def read_rows(self, name, start, stop):
        """Rows of a trained weight: a quantized one on its grid, another in the dtype that the teacher's file has."""
        _, info = self.tensors[name]
        rows = self.arrays[name][start:stop]
        if name.removesuffix(".weight") in self.grids:
            return rows
        with np.errstate(over="ignore"):
            stored = rows.astype(DTYPES[info.dtype])
        if not np.isfinite(as_float32(stored)).all():
            raise NonFiniteError(f"{name} has grown too large for {info.dtype}, in which the teacher stores it")
        return stored


def as_checkpoint(checkpoint, params, recipe, engine):
    """The student in place of the teacher, for the job that writes."""
    arrays, _ = forward_weights(params, recipe, engine)
    grids = {name: grid_of(params, name) for name in weight_names(params) if name + SCALE in params}
    grids = {name.removesuffix(".weight"): np.broadcast_arrays(*grid) for name, grid in grids.items()}
    layers = [name.removesuffix(INPUT_SCALE) for name in arrays if name.endswith(INPUT_SCALE)]
    inputs = {layer: (arrays[layer + INPUT_SCALE], arrays[layer + INPUT_ZERO_POINT]) for layer in layers}
    known = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    return Trained(**known, arrays=arrays, grids=grids, inputs=inputs)


def as_loaded(student, recipe, engine):
    """(config, params) as load_model will give them: what is validated is what is stored.

    Parameters
        student: Trained.
    """
    params = {name: as_float32(student.read_rows(name, 0, None)) for name in student.tensors}
    for layer, (scale, zero_point) in student.grids.items():
        w, limits = params[f"{layer}.weight"], engine.integer_range(recipe["bits"])
        q = engine.quantize(engine.to_groups(w, w.shape[1] // scale.shape[1]), scale, zero_point, *limits)
        packed = engine.pack_codes(q.reshape(w.shape), recipe["bits"])
        grid = (np.ascontiguousarray(np.broadcast_to(part[..., 0], q.shape[:2])) for part in (scale, zero_point))
        params[f"{layer}.weight"] = engine.PackedWeight(packed, *grid, recipe["bits"])
    inputs = {layer + INPUT_SCALE: scale for layer, (scale, _) in student.inputs.items()}
    inputs |= {layer + INPUT_ZERO_POINT: zero_point for layer, (_, zero_point) in student.inputs.items()}
    return student.config, on_input_grids(params | inputs, recipe["activations"])
