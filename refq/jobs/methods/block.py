"""A block of a LLaMA while it is quantized, and what can be seen of it while calibration text passes through."""

import contextlib
import functools
from typing import NamedTuple

import numpy as np

from refq.jobs.model import operations, pieces
from refq.models.llama import llama_block
from refq.ops.namespace import Replaced
from refq.training.activations import QuantizedInput
from refq.transforms.inputs import ReassembledInput, RotatedInput, rotate_heads
from refq.transforms.reassembly import Reassembly

PROJECTIONS = tuple(f"self_attn.{name}_proj" for name in "qkvo") + tuple(
    f"mlp.{name}_proj" for name in ("gate", "up", "down")
)


class Block(NamedTuple):
    """A block on its way.

    layer: its number.
    params: dict, Hugging Face name -> float32 array.
    inputs: dict, layer name -> how its input is altered: a Reassembly, or the stride of a rotation.
    grids: dict, layer name -> (scale, zero_point), each (out or 1, groups, 1), of the layers whose grid is known;
        of a finished block of all that are quantized, and their weights lie on them.
    input_grids: dict, layer name -> (scale, zero_point), each (1,), of the layers whose input has a static grid.
    """

    layer: int
    params: dict
    inputs: dict = {}
    grids: dict = {}
    input_grids: dict = {}

    def name(self, part):
        """The full name of a part, as "self_attn.q_proj"."""
        return f"model.layers.{self.layer}.{part}"

    def weight(self, layer):
        return self.params[f"{layer}.weight"]

    def with_weights(self, weights):
        """The same block with other weights, by layer."""
        return self._replace(params=self.params | {f"{layer}.weight": w for layer, w in weights.items()})


class Settings(NamedTuple):
    """What all methods are told.

    engine: refq or refq_fast.
    config: of the model, with "attention_activations" and "rotated_queries".
    schemes: dict, layer name -> Scheme of every layer that is quantized.
    range: the rule that fits grids.
    activations: bits of the inputs of these layers, or None.
    """

    engine: object
    config: dict
    schemes: dict
    range: str
    activations: int | None


class Data(NamedTuple):
    """Hidden states before a block, float32 (sequences, T, D), see refq.jobs.states.

    full: of the model as it was.
    low: of the model as far as it is quantized.
    """

    full: np.ndarray
    low: np.ndarray


def fitted(w, scheme, settings):
    """A weight on its grid.

    Returns
        w_hat: float32, shape of w.
        grid: (scale, zero_point), each (out or 1, groups, 1); scales are exact in float16.
    """
    engine, limits = settings.engine, settings.engine.integer_range(scheme.bits)
    groups = engine.to_groups(w, scheme.group_size)
    ranged = engine.to_groups(w, axis=None) if scheme.strategy == "tensor" else groups
    grid = getattr(engine, settings.range)(ranged, *limits, symmetric=scheme.symmetric, scale_dtype="float16")
    return on_grid(groups, grid, limits, engine).reshape(w.shape), grid


def on_grid(groups, grid, limits, engine):
    """fake_quantize by the two functions that the writer and the reader of the file use."""
    return engine.dequantize(engine.quantize(groups, *grid, *limits), *grid)


def finished(block, settings):
    """The block with all its quantized layers on grids: those that have none are fitted one."""
    weights, grids = {}, {}
    for layer in quantized(block, settings):
        w, scheme, grid = block.weight(layer), settings.schemes[layer], block.grids.get(layer)
        if grid is None:
            weights[layer], grids[layer] = fitted(w, scheme, settings)
        else:
            limits = settings.engine.integer_range(scheme.bits)
            groups = settings.engine.to_groups(w, scheme.group_size)
            weights[layer] = on_grid(groups, grid, limits, settings.engine).reshape(w.shape)
    return block.with_weights(weights)._replace(grids=block.grids | grids)


def with_input_grids(block, states, settings):
    """The block with a static grid for the input of each quantized layer: min-max over all that reaches it.

    While it is measured, inputs are on grids a token.
    """
    ends, limits = {}, settings.engine.integer_range(settings.activations)
    for layer, x in observed(block, quantized(block, settings), states, settings):
        x = transformed(x, block.inputs.get(layer), settings.engine)
        ends.setdefault(layer, []).extend((x.min(), x.max()))
    found = {
        layer: settings.engine.minmax(np.array(values), *limits, symmetric=False, scale_dtype="float16")
        for layer, values in ends.items()
    }
    return block._replace(input_grids=found)


def transformed(x, form, engine):
    """An input as the weight meets it, but for its grid; form: of Block.inputs, or None."""
    if form is None:
        return x
    return engine.reassemble_input(x, form) if isinstance(form, Reassembly) else rotate_heads(x, form, engine)


def quantized(block, settings):
    """Names of the layers of the block that are quantized."""
    return [name for name in map(block.name, PROJECTIONS) if name in settings.schemes]


def runnable(block, settings, low=True):
    """The parameters that llama_block takes; with low those whose inputs are on a grid, as OUT will have them."""
    params = dict(block.params)
    for layer in map(block.name, PROJECTIONS):
        on_a_grid = low and settings.activations is not None and layer in settings.schemes
        params[f"{layer}.weight"] = altered(block, layer, settings.activations if on_a_grid else None)
    return params


def altered(block, layer, activations=None):
    """The weight of a layer as a namespace of `operations` understands it."""
    weight, how = block.weight(layer), block.inputs.get(layer)
    if activations is not None:
        weight = QuantizedInput(weight, activations, *block.input_grids.get(layer, ()))
    if how is None:
        return weight
    return ReassembledInput(weight, how) if isinstance(how, Reassembly) else RotatedInput(weight, how)


def run(block, settings, low=True, see=()):
    """A function of hidden states (n, T, D) to those after the block.

    see: function of (weight, x), called wherever linear is, with an input that is neither altered nor on a grid yet.
    """
    config = settings.config if low else settings.config | {"attention_activations": None}
    params, ops = runnable(block, settings, low), operations(settings.engine, config)

    def linear(x, weight, bias=None):
        for look in see:
            look(weight, x)
        return ops.linear(x, weight, bias)

    run_ops = Replaced(ops, linear=linear) if see else ops
    return functools.partial(llama_block, params, layer=block.layer, config=config, ops=run_ops)


def chunks(states, config):
    """Slices of the sequences that go through a block at a time; a function of shapes alone."""
    rows, _ = pieces([config | {"vocab_size": 1}], states.shape[1])
    return [slice(start, start + rows) for start in range(0, len(states), rows)]


def advance(states, block, settings, low=True):
    """Move hidden states through the block, in place."""
    forward = run(block, settings, low)
    for rows in chunks(states, settings.config):
        states[rows] = forward(x=np.ascontiguousarray(states[rows]))


def observed(block, layers, states, settings, low=True):
    """Yield (layer, x): the inputs of some layers, before anything is done to them, a chunk of sequences at a time.

    x: float32 (n, T, in).
    """
    wanted, found = {id(block.weight(layer)): layer for layer in layers}, []

    def look(weight, x):
        while isinstance(weight, (ReassembledInput, RotatedInput, QuantizedInput)):
            weight = weight[0]
        if id(weight) in wanted:
            found.append((wanted[id(weight)], x))
        if len(found) == len(wanted):
            raise _Seen

    forward = run(block, settings, low, [look])
    for rows in chunks(states, settings.config):
        with contextlib.suppress(_Seen):
            forward(x=np.ascontiguousarray(states[rows]))
        yield from found
        found.clear()


class _Seen(Exception):
    """All that was asked for: what follows in the block need not be computed."""
