"""Expected values from exact arithmetic: rationals and mpmath, no NumPy, no refq.

`tools.golden` calls `compute(function, args)`: the module of this package that defines `function` computes it from
the JSON form of the arguments. An array is an `Array(dtype, shape, data)` with exact Fractions (floats) or ints.
"""

import importlib
import pkgutil

from tools.oracle.numbers import Bounded, decode, encode
from tools.oracle.reals import QUICK


def modules():
    """The oracle's modules, one a room."""
    found = [m.name for m in pkgutil.iter_modules(__path__) if m.name not in ("numbers", "reals")]
    return [importlib.import_module(f"{__name__}.{name}") for name in sorted(found)]


def compute(function, args, quick=False):
    """(returns, within) in JSON form; `within` is None where the result is exact. None if no oracle knows it.

    quick: slopes that are measured are measured once an array, not for every number of it.
    """
    QUICK.set(quick)
    for module in modules():
        if hasattr(module, function):
            result = getattr(module, function)(**{name: decode(value) for name, value in args.items()})
            value, within = result if isinstance(result, Bounded) else (result, None)
            return encode(value), None if within is None else encode(within)
    return None
