"""Vectors as Numba values, continued: what a grid needs of the numbers that share it."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from refq_fast.simd import LANES, Vector, call, floats, pointer, store_at

_I32 = ir.IntType(32)
_BYTES = ir.VectorType(ir.IntType(8), LANES)
doubles = Vector(types.float64, ir.DoubleType())


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
def zero_doubles(context):
    """0 in all lanes, in float64."""

    def generate(context, builder, signature, args):
        return context.get_constant_null(doubles)

    return doubles(), generate


@intrinsic
def add_squares(context, sums, value):
    """sums + value**2 in each lane, one rounding in float64: the square of a float32 is exact."""

    def generate(context, builder, signature, args):
        wide, contract = builder.fpext(args[1], doubles.llvm), ["contract"]
        return builder.fadd(args[0], builder.fmul(wide, wide, flags=contract), flags=contract)

    return doubles(sums, value), generate


@intrinsic
def total(context, sums):
    """The sum of all lanes, from first to last."""

    def generate(context, builder, signature, args):
        found = builder.extract_element(args[0], _I32(0))
        for lane in range(1, LANES):
            found = builder.fadd(found, builder.extract_element(args[0], _I32(lane)))
        return found

    return types.float64(sums), generate


@intrinsic
def magnitude(context, value):
    """|value| in each lane."""

    def generate(context, builder, signature, args):
        return call(builder, f"llvm.fabs.v{LANES}f32", floats.llvm, *args)

    return floats(floats), generate


@intrinsic
def store_codes(context, array, index, value):
    """array[index : index + LANES] = integers that are floats, -128..127, in a flat int8 array."""

    def generate(context, builder, signature, args):
        codes = builder.trunc(builder.fptosi(args[2], ir.VectorType(_I32, LANES)), _BYTES)
        store_at(builder, codes, pointer(context, builder, signature, args))
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


def _reduced(builder, how, value):
    return call(builder, f"llvm.vector.reduce.{how}.v{LANES}f32", ir.FloatType(), value, fastmath=["nnan", "nsz"])
