"""Quantized activations: weights that bring the grid of their input, and a namespace whose linear puts it there."""

from typing import NamedTuple

import numpy as np

from refq.errors import NonFiniteError
from refq.grids.affine import integer_range
from refq.ops.namespace import Replaced
from refq.training.student import INPUT_SCALE, INPUT_ZERO_POINT, block_layers


class QuantizedInput(NamedTuple):
    """A weight whose input is quantized before they are multiplied.

    weight: all that linear takes as one.
    bits: 2..16; codes -2**(bits-1) .. 2**(bits-1) - 1.
    scale, zero_point: of a static grid, one number each, () or (1,), as lsq takes them; None for a grid a token.
    """

    weight: object
    bits: int
    scale: np.ndarray | None = None
    zero_point: np.ndarray | None = None


def quantized_inputs(ops):
    """`ops` with a linear that does what a QuantizedInput asks for; any other weight meets its input as it is.

    linear(x, weight) = ops.linear(x_hat, weight),  x_hat = dynamic_fake_quantize(x, bits) or lsq(x, scale, zero_point)

    Where both are codes, a PackedWeight and an x of at most 15 bits with a grid a token, they are multiplied as such:
    quantized_linear, which is the same but for rounding.

    Parameters
        ops: an engine, or what tape.lift makes of one: then gradients pass by the rules of those two.
    Returns
        a namespace, as a model page takes it.

    >>> import refq
    >>> weight = QuantizedInput(np.float32([[1, 1, 0]]), 4)
    >>> quantized_inputs(refq).linear(np.float32([[-5, 9.6, 10]]), weight)
    array([[5.]], dtype=float32)
    """

    def linear(x, weight, bias=None):
        if isinstance(weight, QuantizedInput):
            weight, bits, scale, zero_point = weight
            if scale is None and bits <= 15 and isinstance(x, np.ndarray) and isinstance(weight, ops.PackedWeight):
                y = weight.quantized_linear(x, bits)
                return y if bias is None else y + bias
            if scale is None:
                x = ops.dynamic_fake_quantize(x, bits)
            else:
                x = ops.lsq(x, scale, zero_point, *integer_range(bits))
        return ops.linear(x, weight, bias)

    return Replaced(ops, linear=linear)


def quantized_attention(ops, bits):
    """`ops` with an attention that sees queries and keys (rotated by their positions) and values on a grid a token.

    causal_attention(q, k, v) = ops.causal_attention(q_hat, k_hat, v_hat),  x_hat = dynamic_fake_quantize(x, bits)

    Parameters
        ops: as quantized_inputs takes it.
        bits: int, 2..16; None leaves ops as it is.
    Returns
        a namespace, as a model page takes it; each head of a token has a range of its own.

    >>> import refq
    >>> k = np.float32([[[[0, 1.4, 3]]]])  # one token, which sees itself alone
    >>> quantized_attention(refq, 2).causal_attention(k[None], k, k)
    array([[[[[0., 1., 3.]]]]], dtype=float32)
    """
    if bits is None:
        return ops

    def causal_attention(q, k, v):
        return ops.causal_attention(*(ops.dynamic_fake_quantize(x, bits) for x in (q, k, v)))

    return Replaced(ops, causal_attention=causal_attention)


def on_input_grids(weights, bits):
    """The projections of all blocks as QuantizedInput: with a static grid where "<layer>.input_scale" is there.

    Parameters
        weights: dict, as llama_forward takes it; "<layer>.input_scale" and "<layer>.input_zero_point" beside.
        bits: int, or None: then nothing is quantized.
    Returns
        dict for llama_forward with quantized_inputs.
    Raises
        GridError: bits outside 2..16.
    """
    if bits is None:
        return weights
    integer_range(bits)
    found = dict(weights)
    for layer in block_layers(weights):
        grid = (weights.get(layer + end) for end in (INPUT_SCALE, INPUT_ZERO_POINT))
        found[f"{layer}.weight"] = QuantizedInput(weights[f"{layer}.weight"], bits, *grid)
    return found


def input_grids(weights, batches, bits, config, ops):
    """Static grids for the inputs of all projections: min-max over everything that passes.

    Parameters
        weights, config: as llama_forward takes them.
        batches: iterable of tokens, int (B, T).
        bits: int, 2..16.
        ops: the engine.
    Returns
        dict: "<layer>.input_scale", float16-exact, and "<layer>.input_zero_point" int32, each (1,).
    Raises
        NonFiniteError: an input that is NaN or infinite; names the layer.
    """
    names, seen = {id(weights[f"{layer}.weight"]): layer for layer in block_layers(weights)}, {}

    def linear(x, weight, bias=None):
        layer = names.get(id(weight))
        if layer is not None:
            ends = np.array([x.min(), x.max(), *seen.get(layer, [])])
            seen[layer] = np.array([ends.min(), ends.max()])
        return ops.linear(x, weight, bias)

    for tokens in batches:
        ops.llama_forward(weights, tokens, config, Replaced(ops, linear=linear))
    params = {}
    for layer, ends in seen.items():
        if not np.isfinite(ends).all():
            raise NonFiniteError(f"the inputs of {layer} reach from {ends[0]} to {ends[1]}; finite ones are needed")
        grid = ops.minmax(ends, *integer_range(bits), symmetric=False, scale_dtype="float16")
        params[layer + INPUT_SCALE], params[layer + INPUT_ZERO_POINT] = grid
    return params
