"""compressed-tensors: how the inputs of a linear layer are quantized, in config.json and in tensors.

A grid a token is measured where it is used, and nothing of it is stored. A static one is stored beside the weight:

    X.input_scale       float (1,)
    X.input_zero_point  int8 (1,), above 8 bits int16

Codes are -2**(bits - 1) .. 2**(bits - 1) - 1, and x_hat is (q - zero_point) * scale. Symmetric grids, for which that
library divides by half the number of codes, are not read.
"""

from typing import NamedTuple

from refq.errors import FormatError
from refq.files.strict import shown

_STRATEGIES = {"token": True, "tensor": False}  # and what `dynamic` is with it
_FIXED = {"type": ["int"], "symmetric": [False], "group_size": [None], "block_structure": [None]}
_FIXED |= {"actorder": [None, False], "scale_dtype": [None]}
_FREE = {"num_bits", "strategy", "dynamic", "observer", "observer_kwargs", "zp_dtype"}


class Inputs(NamedTuple):
    """How inputs are quantized: 2..16 bits, asymmetric; strategy "token" (measured each time) or "tensor" (static)."""

    bits: int
    strategy: str


def input_args(inputs):
    """The value of `input_activations` in a config group.

    >>> input_args(Inputs(8, "token"))["dynamic"]
    True
    """
    if inputs is None:
        return None
    args = {"num_bits": inputs.bits, "type": "int", "symmetric": False, "strategy": inputs.strategy}
    return args | {"dynamic": _STRATEGIES[inputs.strategy]}


def parse_input_args(args, where, key="input_activations"):
    """Inputs, or None for null.

    Parameters
        args: the value of `input_activations`.
        where: how messages call the file and group.
        key: how they call the value.
    Raises
        FormatError: a setting that we do not support, by its name.
    """
    if args is None:
        return None
    known = _FIXED.keys() | _FREE
    if not isinstance(args, dict) or args.keys() - known:
        raise FormatError(f"{where} has {key} {shown(args)}; null or some of {', '.join(sorted(known))}")
    args = {"type": "int", "symmetric": True, "strategy": "tensor", "dynamic": False, "num_bits": 8} | args
    for name, supported in _FIXED.items():
        value = args.get(name)
        if (type(value), value) not in [(type(v), v) for v in supported]:
            raise FormatError(f"{where} has {key} with {name} {shown(value)}; only {supported} is supported")
    bits, strategy, dynamic = args["num_bits"], args["strategy"], args["dynamic"]
    if type(bits) is not int or not 2 <= bits <= 16:
        raise FormatError(f"{where} has {key} with num_bits {shown(bits)}; 2..16 is supported")
    if not isinstance(strategy, str) or type(dynamic) is not bool or _STRATEGIES.get(strategy) is not dynamic:
        raise FormatError(
            f"{where} has {key} with strategy {shown(strategy)}, dynamic {shown(dynamic)}; "
            "'token' with true or 'tensor' with false is supported"
        )
    return Inputs(bits, strategy)


def input_tensors(name, inputs, floats):
    """The tensors of a layer's input grid.

    Parameters
        name: the layer.
        inputs: Inputs, or None.
        floats: dtypes that a scale may have.
    Returns
        dict, tensor name -> (dtypes that may stand there, shape); empty if nothing is stored.

    >>> input_tensors("x", Inputs(16, "tensor"), ("F32",))["x.input_zero_point"]
    (('I16',), (1,))
    """
    if inputs is None or inputs.strategy == "token":
        return {}
    zero_points = ("I8",) if inputs.bits <= 8 else ("I16",)
    return {f"{name}.input_scale": (floats, (1,)), f"{name}.input_zero_point": (zero_points, (1,))}
