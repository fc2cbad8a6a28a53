"""Reverse-mode differentiation on one page: the pairs f and f_vjp of any engine, lifted onto Tensors.

    ops = lift(refq)                                  # or refq_fast
    w = Tensor(np.float64([[2.0, 1.0]]))              # a parameter is a Tensor, a constant is an array
    y = ops.linear(np.float64([3.0, 4.0]), w)
    [gw] = backward([(y, np.float64([1.0]))], [w])    # [[3.0, 4.0]]

The results of f_vjp(g, *args) belong to the first real arguments of f, in order: arrays and Python floats.
"""

import functools
import inspect

import numpy as np

from refq.errors import DtypeError, ShapeError


class Tensor:
    """An array that remembers how it was made: its parents, and the rule from its gradient to theirs."""

    __slots__ = ("value", "parents", "rule", "depth")
    __array_ufunc__ = None  # array + Tensor asks the Tensor

    def __init__(self, value, parents=(), rule=None):
        self.value, self.parents, self.rule = value, parents, rule
        self.depth = 1 + max((parent.depth for parent in parents), default=0)

    @property
    def shape(self):
        return self.value.shape

    @property
    def dtype(self):
        return self.value.dtype

    def __add__(self, other):
        return record(np.add, lambda g, a, b: (unbroadcast(g, np.shape(a)), unbroadcast(g, np.shape(b))), self, other)

    def __radd__(self, other):
        return self + other

    def reshape(self, *shape):
        return record(lambda x: x.reshape(*shape), lambda g, x: g.reshape(x.shape), self)

    def transpose(self, *axes):
        back = np.argsort(np.array(axes, int) % max(self.value.ndim, 1))  # an axis may be counted from the end
        return record(lambda x: x.transpose(*axes), lambda g, x: g.transpose(*back), self)

    def __getitem__(self, index):
        return record(lambda x: x[index], lambda g, x: _placed(g, index, x.shape), self)


def record(function, vjp, *args):
    """function(*args), as a Tensor that knows vjp if any of the arguments is one."""
    values = [arg.value if isinstance(arg, Tensor) else arg for arg in args]
    result = function(*values)
    if not any(isinstance(arg, Tensor) for arg in args):
        return result
    real = [arg for arg, value in zip(args, values, strict=True) if _is_real(value)]

    def rule(g):
        found = vjp(g, *values)
        found = found if isinstance(found, tuple) else (found,)
        if any(isinstance(arg, Tensor) for arg in real[len(found) :]):
            raise DtypeError(
                f"{function.__name__} has gradients for its first {len(found)} real arguments alone, and a later "
                "one is a Tensor; give its value"
            )
        return [part for arg, part in zip(real, found, strict=False) if isinstance(arg, Tensor)]

    return Tensor(result, [arg for arg in real if isinstance(arg, Tensor)], rule)


def recomputed(function, *tensors):
    """function(*tensors), of which nothing is kept but these: it is computed again when its gradient is asked for."""

    def vjp(g, *values):
        leaves = [Tensor(value) for value in values]
        return tuple(backward([(function(*leaves), g)], leaves))

    return record(function, vjp, *tensors)


def _is_real(value):
    return isinstance(value, float) or getattr(value, "dtype", np.dtype(bool)).kind == "f"


def backward(seeds, wanted):
    """The gradients of sum(g * y) over all seeds.

    Parameters
        seeds: list of (y, g): a Tensor, and an array of its shape.
        wanted: list of Tensors.
    Returns
        list of arrays: the gradient for each of `wanted`; zeros where no seed depends on it.
    Raises
        ShapeError: a gradient of another shape than its Tensor.
        DtypeError: a Tensor where a function has no gradient, as the teacher's logits.
    """
    gradients, nodes = {}, {}  # both by id: a Tensor is not its value

    def add(node, g):
        if g.shape != node.shape:
            raise ShapeError(f"a gradient has shape {g.shape}; its tensor has {node.shape}")
        known = gradients.get(id(node))
        gradients[id(node)] = g if known is None else known + g
        nodes[id(node)] = node

    for node, g in seeds:
        add(node, np.asarray(g))
    kept = {id(node) for node in wanted}
    while nodes:
        node = nodes.pop(max(nodes, key=lambda key: nodes[key].depth))  # all that depends on it is done
        if node.rule is None:
            continue
        g = gradients[id(node)] if id(node) in kept else gradients.pop(id(node))
        for parent, part in zip(node.parents, node.rule(g), strict=True):
            add(parent, part)
    return [gradients[id(node)] if id(node) in gradients else np.zeros_like(node.value) for node in wanted]


def unbroadcast(g, shape):
    """The gradient of an array of `shape` that was broadcast to the shape of g: the sum over what was repeated."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    repeated = tuple(axis for axis, n in enumerate(shape) if n == 1 and g.shape[axis] != 1)
    return g.sum(axis=repeated, keepdims=True)


def _placed(g, index, shape):
    """The gradient of an array of `shape` of which g's part was taken: 0 elsewhere."""
    whole = np.zeros(shape, g.dtype)
    np.add.at(whole, index, g)  # an index may name a place twice
    return whole


def lift(ops):
    """A namespace like `ops` whose functions with a f_vjp take Tensors too."""
    return _Lifted(ops)


class _Lifted:
    def __init__(self, ops):
        self.ops = ops

    def __getattr__(self, name):
        function, vjp = getattr(self.ops, name), getattr(self.ops, f"{name}_vjp", None)
        return function if vjp is None else functools.partial(_recorded, function, vjp)

    def linear(self, x, weight, bias=None):
        """Of a constant weight no gradient is computed: half the work, and a packed one has none."""
        if isinstance(weight, Tensor):
            return record(self.ops.linear, self.ops.linear_vjp, x, weight, bias)

        def vjp(g, x, bias):
            if isinstance(weight, np.ndarray):
                return self.ops.linear(g, weight.T), None if bias is None else unbroadcast(g, bias.shape)
            return self.ops.linear_vjp(g, x, weight, bias)[::2]

        return record(lambda x, bias: self.ops.linear(x, weight, bias), vjp, x, bias)


def _recorded(function, vjp, /, *args, **named):
    if named:  # in their places: a rule finds its arguments by their order
        bound = inspect.signature(function).bind(*args, **named)
        bound.apply_defaults()
        args = bound.args
    return record(function, vjp, *args)
