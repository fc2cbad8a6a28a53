"""The arguments of fold and of what it is given, each by its rule. Both packages call these."""

import numpy as np

from refq import checks
from refq.errors import DtypeError, GridError, ShapeError
from refq.grids.groups import to_groups
from refq.transforms.arguments import channels as channels
from refq.transforms.arguments import maxima as maxima
from refq.transforms.arguments import moderate_maxima as moderate_maxima
from refq.transforms.arguments import threshold as threshold
from refq.transforms.arguments import vector


def folded(previous, following, scale, shift):
    """A layer, a list of layers, and a scale and a shift (or None) of the channels between them, of one dtype."""
    scale = vector("scale", scale)
    checks.grid_scale(scale, scale)
    if shift is not None:
        shift = like("shift", vector("shift", shift), scale)
    previous = _layer("previous", previous, scale)
    if previous["weight"].ndim not in (1, 2):
        raise ShapeError(f"previous has a weight of shape {previous['weight'].shape}; one axis or two are needed")
    for part in previous.values():
        checks.same_shape("previous", part, "scale", (scale.size, *part.shape[1:]))
    if not isinstance(following, (list, tuple)):
        raise DtypeError(f"following is {type(following).__name__}; a list of objects is needed")
    following = [_layer(f"following[{i}]", layer, scale) for i, layer in enumerate(following)]
    for i, layer in enumerate(following):
        if layer["weight"].ndim != 2:
            raise ShapeError(f"following[{i}] has a weight of shape {layer['weight'].shape}; (out, channels) is needed")
        checks.same_shape(f"following[{i}]", layer["weight"], "scale", (len(layer["weight"]), scale.size))
        if "bias" in layer:
            checks.same_shape(f"the bias of following[{i}]", layer["bias"], "its weight", layer["weight"].shape[:1])
    return previous, following, scale, shift


def like(name, value, partner):
    """The dtype and shape of its partner."""
    return checks.same_shape(name, checks.as_float_like(name, value, partner), "its partner", partner.shape)


def share(name, value):
    """A number of 0..1."""
    if not 0 <= checks.number(name, value) <= 1:
        raise GridError(f"{name}={value}; 0..1 is needed")
    return float(value)


def ends(minimum, maximum):
    """Both ends of every channel, of one dtype; none above the other."""
    minimum = vector("minimum", minimum)
    maximum = like("maximum", vector("maximum", maximum), minimum)
    if (minimum > maximum).any():
        raise GridError(f"{checks.first_wrong('minimum', minimum, minimum <= maximum)}, above its maximum")
    return minimum, maximum


def clipping(x, w, group_size):
    """Tokens x (tokens, in) and a weight as groups (out, groups, group_size), both float32, as AWQ computes in."""
    x, w = channels(x, w)
    if x.dtype != np.float32:
        raise DtypeError(f"x and w are {x.dtype}; AWQ's grids reproduce float32 arithmetic and need float32")
    return x, to_groups(w, group_size)


def no_overflow(name, value):
    """What was computed from finite numbers must be finite."""
    if not np.isfinite(value.max()):
        raise GridError(f"{name} overflows {value.dtype}")
    return value


def _layer(name, layer, scale):
    if not isinstance(layer, dict):
        raise DtypeError(f"{name} is {type(layer).__name__}; an object of weight and bias is needed")
    if "weight" not in layer or set(layer) - {"weight", "bias"}:
        raise ShapeError(f"{name} has {', '.join(map(str, layer)) or 'nothing'}; weight, and bias or not, are needed")
    return {part: checks.as_float_like(f"{name}[{part!r}]", array, scale) for part, array in layer.items()}
