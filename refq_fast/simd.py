"""Vectors as Numba values: they live in registers, and a kernel reads as it would in C.

Only target-independent LLVM instructions are emitted, so every CPU can run them: one 512-bit register a vector of 16
lanes, one of 256 bits or two of 128 for 8. `fma` rounds once where the CPU can and twice where it cannot.
A block is a tuple of ROWS vectors.
"""

import operator

from llvmlite import ir
from numba import config, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic, models, overload, register_model
from numba.np.arrayobj import make_array


def has(feature):
    """Whether Numba may compile instructions of this extension of the processor."""
    asked = config.CPU_FEATURES
    return f"+{feature}" in (get_host_cpu_features() if asked is None else asked).split(",")


LANES = 16 if has("avx512f") else 8
ROWS = 8

_I32, _F32 = ir.IntType(32), ir.FloatType()


class Vector(types.Type):
    """LANES elements of one scalar type."""

    def __init__(self, scalar, element):
        self.scalar, self.llvm = scalar, ir.VectorType(element, LANES)
        super().__init__(f"Vector({scalar}, {LANES})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, vector.llvm)


floats = Vector(types.float32, _F32)
words = Vector(types.uint32, _I32)
block = types.UniTuple(floats, ROWS)


@intrinsic
def load_words(context, array, index):
    """array[index : index + LANES] of a flat uint32 array."""

    def generate(context, builder, signature, args):
        return vector_at(builder, pointer(context, builder, signature, args), _I32)

    return words(array, types.intp), generate


@intrinsic
def load_floats(context, array, index):
    """array[index : index + LANES] as float32, of a flat array of float32, int8, or uint16 that hold finite float16."""
    element = {types.float32: _F32, types.int8: ir.IntType(8), types.uint16: ir.IntType(16)}[array.dtype]

    def generate(context, builder, signature, args):
        value = vector_at(builder, pointer(context, builder, signature, args), element)
        if array.dtype == types.int8:
            return builder.sitofp(value, floats.llvm)
        return _from_half(builder, value) if array.dtype == types.uint16 else value

    return floats(array, types.intp), generate


@intrinsic
def store(context, array, index, value):
    """array[index:] begins with the value's elements, which are as large as those of the flat array."""

    def generate(context, builder, signature, args):
        store_at(builder, args[2], pointer(context, builder, signature, args))
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def load_block(context, array, index, step):
    """A block of array[index + i * step :][:LANES] for every row i, of a flat float32 array."""

    def generate(context, builder, signature, args):
        at, value = pointer(context, builder, signature, args), context.get_constant_null(block)
        for row in range(ROWS):
            value = builder.insert_value(value, vector_at(builder, at, _F32), row)
            at = builder.gep(at, [args[2]])
        return value

    return block(array, types.intp, types.intp), generate


@intrinsic
def store_block(context, array, index, step, value):
    """array[index + i * step :][:LANES] = value[i] for every row i of a block."""

    def generate(context, builder, signature, args):
        at = pointer(context, builder, signature, args)
        for row in range(ROWS):
            store_at(builder, builder.extract_value(args[3], row), at)
            at = builder.gep(at, [args[2]])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value), generate


@intrinsic
def splat(context, number):
    """A float32 in all lanes."""

    def generate(context, builder, signature, args):
        return broadcast(builder, args[0], floats)

    return floats(types.float32), generate


@intrinsic
def fma(context, a, b, c):
    """a * b + c."""

    def generate(context, builder, signature, args):
        return _fma(builder, *args)

    return floats(floats, floats, floats), generate


@intrinsic
def root(context, a):
    """The square roots of a."""

    def generate(context, builder, signature, args):
        return call(builder, f"llvm.sqrt.v{LANES}f32", floats.llvm, args[0])

    return floats(floats), generate


@intrinsic
def maximum(context, a, b):
    """The larger of a and b; b where either is NaN."""

    def generate(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return floats(floats, floats), generate


@intrinsic
def minimum(context, a, b):
    """The smaller of a and b; b where either is NaN."""

    def generate(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<", *args), *args)

    return floats(floats, floats), generate


@intrinsic
def where(context, a, b, x, y):
    """x where a <= b, otherwise y."""

    def generate(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<=", *args[:2]), *args[2:])

    return floats(floats, floats, floats, floats), generate


@intrinsic
def two_to_the(context, number):
    """2**n of a `number` n + 1.5 * 2**23, n = -127..128: the integer n stands in its lowest bits. 2**-127 becomes 0."""

    def generate(context, builder, signature, args):
        kind = words.llvm
        bias, shift = (ir.Constant(kind, [value] * LANES) for value in (127, 23))
        bits = builder.shl(builder.add(builder.bitcast(args[0], kind), bias), shift)
        return builder.bitcast(bits, floats.llvm)

    return floats(floats), generate


@intrinsic
def zero_block(context):
    """A block of zeros."""

    def generate(context, builder, signature, args):
        return context.get_constant_null(block)

    return block(), generate


@intrinsic
def add_products(context, sums, a, array, index, step):
    """sums[i] + a * array[index + i * step] for every row i of a block."""

    def generate(context, builder, signature, args):
        at, factors = pointer(context, builder, signature, args[2:], array), []
        for _ in range(ROWS):
            factors.append(broadcast(builder, builder.load(at), floats))
            at = builder.gep(at, [args[4]])
        return _fma_rows(builder, args[0], args[1], factors)

    return block(block, floats, array, types.intp, types.intp), generate


@intrinsic
def add_scaled(context, sums, a, values):
    """sums[i] + a * values[i] for every row i of two blocks."""

    def generate(context, builder, signature, args):
        factors = (builder.extract_value(args[2], row) for row in range(ROWS))
        return _fma_rows(builder, args[0], args[1], factors)

    return block(block, floats, block), generate


@intrinsic
def to_floats(context, value):
    """Words, two's complement, as float32."""

    def generate(context, builder, signature, args):
        return builder.sitofp(args[0], floats.llvm)

    return floats(words), generate


@intrinsic
def as_floats(context, value):
    """The float32 numbers whose bits the words are."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], floats.llvm)

    return floats(words), generate


def _operator(function, vector, instruction):
    """Let `function` of two vectors be one instruction; an integer beside words is first broadcast."""

    @intrinsic
    def both(context, a, b):
        def generate(context, builder, signature, args):
            other = args[1]
            if b != vector:
                other = broadcast(builder, context.cast(builder, other, b, vector.scalar), vector)
            return getattr(builder, instruction)(args[0], other)

        return vector(vector, b), generate

    @overload(function)
    def choose(a, b):
        if a == vector and (b == vector or (vector == words and isinstance(b, types.Integer | types.IntegerLiteral))):
            return lambda a, b: both(a, b)
        return None


_operator(operator.add, floats, "fadd")
_operator(operator.sub, floats, "fsub")
_operator(operator.mul, floats, "fmul")
_operator(operator.truediv, floats, "fdiv")
_operator(operator.add, words, "add")
_operator(operator.sub, words, "sub")
_operator(operator.mul, words, "mul")
_operator(operator.and_, words, "and_")
_operator(operator.or_, words, "or_")
_operator(operator.rshift, words, "lshr")
_operator(operator.lshift, words, "shl")


def pointer(context, builder, signature, args, array=None):
    """Pointer to args[0][args[1]]."""
    data = make_array(array or signature.args[0])(context, builder, args[0]).data
    return builder.gep(data, [args[1]])


def vector_at(builder, at, element):
    value = builder.load(builder.bitcast(at, ir.VectorType(element, LANES).as_pointer()))
    value.align = 1
    return value


def store_at(builder, value, at):
    instruction = builder.store(value, builder.bitcast(at, value.type.as_pointer()))
    instruction.align = 1
    return instruction


def call(builder, name, kind, *args, **options):
    """What LLVM's own function of this name gives, of type `kind`."""
    shape = ir.FunctionType(kind, [value.type for value in args])
    return builder.call(builder.module.globals.get(name) or ir.Function(builder.module, shape, name), args, **options)


def broadcast(builder, number, vector):
    undefined = ir.Constant(vector.llvm, ir.Undefined)
    first = builder.insert_element(undefined, number, _I32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


def _fma(builder, a, b, c):
    return call(builder, f"llvm.fmuladd.v{LANES}f32", floats.llvm, a, b, c)


def _fma_rows(builder, sums, a, factors):
    for row, factor in enumerate(factors):
        sums = builder.insert_value(sums, _fma(builder, a, factor, builder.extract_value(sums, row)), row)
    return sums


def _from_half(builder, value):
    """float16 bits to float32: an instruction, or the fields moved into place and the bias corrected by 2**112."""
    if has("f16c"):
        return builder.fpext(builder.bitcast(value, ir.VectorType(ir.HalfType(), LANES)), floats.llvm)
    kind = words.llvm

    def constant(number):
        return ir.Constant(kind, [number] * LANES)

    value = builder.zext(value, kind)
    magnitude = builder.shl(builder.and_(value, constant(0x7FFF)), constant(13))
    bias = ir.Constant(floats.llvm, [2.0**112] * LANES)
    magnitude = builder.bitcast(builder.fmul(builder.bitcast(magnitude, floats.llvm), bias), kind)
    sign = builder.shl(builder.and_(value, constant(0x8000)), constant(16))
    return builder.bitcast(builder.or_(magnitude, sign), floats.llvm)
