"""Vectors as Numba values, continued: what a grid needs of the numbers that share it."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from refq_fast.simd import LANES, floats, pointer

_BYTES = ir.VectorType(ir.IntType(8), LANES)


@intrinsic
def minimum(context, a, b):
    """The smaller of a and b; b where either is NaN."""

    def generate(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<", *args), *args)

    return floats(floats, floats), generate


@intrinsic
def smallest(context, value):
    """The smallest of all lanes, none of which is NaN."""

    def generate(context, builder, signature, args):
        return _reduced(builder, "fmin", args[0])

    return types.float32(floats), generate


@intrinsic
def largest(context, value):
    """The largest of all lanes, none of which is NaN."""

    def generate(context, builder, signature, args):
        return _reduced(builder, "fmax", args[0])

    return types.float32(floats), generate


@intrinsic
def magnitude(context, value):
    """|value| in each lane."""

    def generate(context, builder, signature, args):
        name, kind = f"llvm.fabs.v{LANES}f32", ir.FunctionType(floats.llvm, [floats.llvm])
        return builder.call(builder.module.globals.get(name) or ir.Function(builder.module, kind, name), args)

    return floats(floats), generate


@intrinsic
def store_codes(context, array, index, value):
    """array[index : index + LANES] = integers that are floats, -128..127, in a flat int8 array."""

    def generate(context, builder, signature, args):
        codes = builder.trunc(builder.fptosi(args[2], ir.VectorType(ir.IntType(32), LANES)), _BYTES)
        at = builder.bitcast(pointer(context, builder, signature, args), _BYTES.as_pointer())
        builder.store(codes, at).align = 1
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


def _reduced(builder, how, value):
    name, kind = f"llvm.vector.reduce.{how}.v{LANES}f32", ir.FunctionType(ir.FloatType(), [floats.llvm])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, [value], fastmath=["nnan", "nsz"])
