"""A student in training: latent weights and their grids in one flat dict, and the weights its forward pass uses.

"<layer>.weight" float (out, in), with "<layer>.weight_scale" (out or 1, groups) where it is quantized, and there
"<layer>.weight_zero_point" int32 of the same shape, or none for 0. A layer whose input has a static grid has
"<layer>.input_scale" (1,) and "<layer>.input_zero_point" int32 (1,). All else is used as it is.
"""

import numpy as np

from refq.errors import GridError
from refq.grids.affine import fake_quantize
from refq.grids.groups import to_groups
from refq.ranges.float16 import float16_scale
from refq.training import arguments_step as arguments

SCALE, ZERO_POINT = "_scale", "_zero_point"
INPUT_SCALE, INPUT_ZERO_POINT = ".input_scale", ".input_zero_point"
PROJECTIONS = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj"}
PROJECTIONS |= {"gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"}


def ov_freeze(params, qmin, qmax, projections=("o", "v")):
    """Fix the weights of the output and value projections at their quantized values.

    w = fake_quantize(w, float16_scale(scale), zero_point, qmin, qmax) for every layer of these projections

    Parameters
        params: dict of arrays, see refq.training.student.
        qmin, qmax: int, the limits of the grids.
        projections: names out of q, k, v, o, gate, up, down; ("o", "v") is the method of the paper.
    Returns
        params: a new dict with those weights on their grids, and their scales rounded to float16.
        frozen: sorted list of names that no step may change: all that each of these layers has.
    Raises
        GridError: a projection that is none, a weight of one that has no scale, or params without any of them.
        ShapeError: scales that do not fit their weight.

    >>> params = {"layers.0.self_attn.v_proj.weight": np.float32([[0.6]])}
    >>> params["layers.0.self_attn.v_proj.weight_scale"] = np.float32([[0.5]])
    >>> params, frozen = ov_freeze(params, -8, 7)
    >>> params["layers.0.self_attn.v_proj.weight"], frozen
    (array([[0.5]], dtype=float32), ['layers.0.self_attn.v_proj.weight', 'layers.0.self_attn.v_proj.weight_scale'])

    Source: Oh! We Freeze (2403.18159): o and v at their PTQ values; that the ranges are fixed too is our choice.
    Spec: ov_freeze
    """
    chosen = [_projection(name) for name in projections]
    fixed, frozen = dict(params), []
    for name in params:
        layer, _, kind = name.rpartition(".")
        if not layer.endswith(tuple(chosen)):
            continue
        frozen.append(name)
        if kind == "weight":
            if name + SCALE not in params:
                raise GridError(
                    f"{name} has no {name}{SCALE}; only a quantized weight can be frozen at its quantized value"
                )
            _check(params, name)
            fixed[name + SCALE] = float16_scale(params[name + SCALE])
            groups = grouped(fixed, name, params[name])
            fixed[name] = fake_quantize(groups, *grid_of(fixed, name), qmin, qmax).reshape(params[name].shape)
    if not frozen:
        raise GridError(f"no parameter belongs to the projections {', '.join(projections)}")
    return fixed, sorted(frozen)


def forward_weights(params, recipe, ops):
    """The weights that the forward pass uses, and the codes of those that are quantized and not frozen.

    Scales are rounded to float16 first: the grid that is trained is the grid that is stored.

    Returns
        weights: dict, name -> array; of the grids those of inputs alone.
        codes: dict, name of the weight -> int32 codes, (out, groups, group_size).
    """
    qmin, qmax = ops.integer_range(recipe["bits"])
    weights, codes = {}, {}
    for name in weight_names(params):
        weights[name] = params[name]
        if name + SCALE in params and name not in recipe["frozen"]:
            _check(params, name)
            grid = (*grid_of(params, name), qmin, qmax)
            groups = grouped(params, name, params[name])
            if recipe["quantizer"] == "soft":
                groups = ops.soft_fake_quantize(groups, *grid, recipe["sharpness"], recipe["beta"])
            codes[name] = ops.quantize(groups, *grid)
            weights[name] = ops.dequantize(codes[name], *grid[:2]).reshape(params[name].shape)
    return weights | _input_grids(params, recipe["activations"]), codes


def surrogate_gradients(params, used, recipe, ops):
    """Gradients of the weights as used to those of the latent weights and scales, by the rule of the quantizer."""
    qmin, qmax = ops.integer_range(recipe["bits"])
    gradients = {}
    for name, g in used.items():
        gradients[name] = g
        if name.endswith(INPUT_SCALE):
            inputs = params[name.removesuffix(INPUT_SCALE) + ".weight"].shape[1]
            _, largest = ops.integer_range(recipe["activations"])
            gradients[name] = g * g.dtype.type(ops.lsq_gradient_scale(inputs, largest))
        if name + SCALE not in params:
            continue
        args = grouped(params, name, g), grouped(params, name, params[name]), *grid_of(params, name), qmin, qmax
        if recipe["quantizer"] == "straight_through":
            gx, gscale = ops.fake_quantize_vjp(*args), None
        elif recipe["quantizer"] == "soft":
            gx, gscale = ops.soft_fake_quantize_vjp(*args, recipe["sharpness"], recipe["beta"])
        else:
            gx, gscale = ops.lsq_vjp(*args)
        gradients[name] = gx.reshape(g.shape)
        if gscale is not None and name + SCALE not in recipe["frozen"]:
            scale = params[name + SCALE]
            factor = scale.dtype.type(ops.lsq_gradient_scale(g.size // scale.size, qmax))
            gradients[name + SCALE] = gscale.reshape(scale.shape) * factor
    return gradients


def weight_names(params):
    """Names of all that a forward pass uses: no scales, no zero points."""
    return [name for name in params if not name.endswith((SCALE, ZERO_POINT))]


def input_scale_names(params):
    """Names of the scales of static input grids."""
    return [name for name in params if name.endswith(INPUT_SCALE)]


def projection_weights(config):
    """Names of the weights of all projections: of each layer seven, in the order of PROJECTIONS."""
    layers = range(config["num_hidden_layers"])
    return [[f"model.layers.{n}.{projection}.weight" for projection in PROJECTIONS.values()] for n in layers]


def block_layers(params):
    """Names of the linear layers of the blocks."""
    names = (name.removesuffix(".weight") for name in params if name.endswith(".weight"))
    return [name for name in names if name.endswith(tuple(PROJECTIONS.values()))]


def grid_of(params, name):
    """(scale, zero_point) of a weight, with an axis for the elements of a group; the scale as it is stored."""
    scale = float16_scale(params[name + SCALE])[..., None]
    zero_point = params.get(name + ZERO_POINT)
    return scale, np.zeros((1, 1, 1), np.int32) if zero_point is None else zero_point[..., None]


def grouped(params, name, w):
    """An array of the shape of a weight as (out, groups, group_size)."""
    return to_groups(w, w.shape[1] // params[name + SCALE].shape[1])


def _input_grids(params, bits):
    found, known = {}, block_layers(params)
    for name in input_scale_names(params):
        layer = name.removesuffix(INPUT_SCALE)
        zero_point = params.get(layer + INPUT_ZERO_POINT)
        scale, zero_point = arguments.static_input(name, params[name], zero_point, bits if layer in known else None)
        found |= {name: float16_scale(scale), layer + INPUT_ZERO_POINT: zero_point}
    return found


def _check(params, name):
    arguments.quantized(name, params[name], params[name + SCALE], params.get(name + ZERO_POINT))


def _projection(name):
    if name not in PROJECTIONS:
        raise GridError(f"projection {name!r}; {', '.join(PROJECTIONS)} are there")
    return PROJECTIONS[name]
