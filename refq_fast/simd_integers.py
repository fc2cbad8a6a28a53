"""Vectors as Numba values, continued: exact sums of products of 8-bit integers, LANES of them side by side.

A word holds four bytes. Sums are words in two's complement: what overflows on the way does not matter as long as the
result fits. A block of integers is a tuple of word vectors, of any length.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from refq_fast.simd import LANES, broadcast, call, floats, has, pointer, store_at, vector_at, words

I8, I32, PAIRS = ir.IntType(8), ir.IntType(32), ir.VectorType(ir.IntType(16), 2 * LANES)
HAS_DOTS = has("avx512vnni") and (LANES == 16 or has("avx512vl")) or LANES == 8 and has("avxvnni")


@intrinsic
def zero_words(context):
    """0 in all lanes."""

    def generate(context, builder, signature, args):
        return context.get_constant_null(words)

    return words(), generate


@intrinsic
def splat_word(context, number):
    """An int32 in all lanes."""

    def generate(context, builder, signature, args):
        return broadcast(builder, args[0], words)

    return words(types.int32), generate


@intrinsic
def load_integers(context, array, index):
    """array[index : index + LANES] as words, of a flat array of int8 or int16."""

    def generate(context, builder, signature, args):
        value = vector_at(builder, pointer(context, builder, signature, args), ir.IntType(array.dtype.bitwidth))
        return builder.sext(value, words.llvm)

    return words(array, types.intp), generate


@intrinsic
def dots(context, sums, w, number):
    """sums + the four unsigned bytes of w times the signed ones of an int32."""

    def generate(context, builder, signature, args):
        return _dots(builder, args[0], args[1], broadcast(builder, args[2], words))

    return words(words, words, types.int32), generate


@intrinsic
def rint(context, value):
    """The nearest integers of floats, ties to the even ones, as floats."""

    def generate(context, builder, signature, args):
        return call(builder, f"llvm.rint.v{LANES}f32", floats.llvm, *args)

    return floats(floats), generate


@intrinsic
def to_words(context, value):
    """Integers that are floats, below 2**31 in size, as words in two's complement."""

    def generate(context, builder, signature, args):
        return builder.fptosi(args[0], words.llvm)

    return words(floats), generate


@intrinsic
def store_even_odd(context, array, index, value):
    """array[index : index + LANES] = the lowest bytes of value: of each eight the even ones, then the odd ones."""

    def generate(context, builder, signature, args):
        lanes = [first + i for first in range(0, LANES, 8) for i in (0, 2, 4, 6, 1, 3, 5, 7)]
        least = builder.trunc(args[2], ir.VectorType(I8, LANES))
        turned = builder.shuffle_vector(least, least, ir.Constant(ir.VectorType(I32, LANES), lanes))
        store_at(builder, turned, pointer(context, builder, signature, args))
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def prefetch(context, array, index):
    """Tell the processor that array[index] will be read soon; the place may lie beyond the array."""

    def generate(context, builder, signature, args):
        at = builder.bitcast(pointer(context, builder, signature, args), I8.as_pointer())
        call(builder, "llvm.prefetch.p0i8", ir.VoidType(), at, I32(0), I32(3), I32(1))
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def zero_integers(context, rows):
    """A block of zeros, as many as the tuple `rows` is long."""
    block = types.UniTuple(words, rows.count)

    def generate(context, builder, signature, args):
        return context.get_constant_null(block)

    return block(rows), generate


@intrinsic
def add_dots(context, sums, w, array, index):
    """sums[i] + the four unsigned bytes of w times the signed ones of the word array[index + i], for every row i."""

    def generate(context, builder, signature, args):
        return _by_row(builder, _dots, args[0], args[1], pointer(context, builder, signature, args[2:], array))

    return sums(sums, w, array, types.intp), generate


@intrinsic
def add_pairs(context, sums, w, array, index):
    """sums[i] + the two signed halves of w times those of the word array[index + i], for every row i."""

    def generate(context, builder, signature, args):
        return _by_row(builder, _pairs, args[0], args[1], pointer(context, builder, signature, args[2:], array))

    return sums(sums, w, array, types.intp), generate


@intrinsic
def to_reals(context, sums, rows):
    """A block of floats, as many as the tuple `rows` is long: of sums, rounded once.

    Where there are twice as many sums, of sums[2 i] + 256 * sums[2 i + 1], which fits a word.
    """

    def generate(context, builder, signature, args):
        def joined(low, upper):
            return builder.sitofp(
                builder.add(low, builder.shl(upper, ir.Constant(words.llvm, [8] * LANES))), floats.llvm
            )

        return _by_limbs(builder, args[0], rows.count, joined)

    return types.UniTuple(floats, rows.count)(sums, rows), generate


@intrinsic
def long_to_reals(context, sums, rows):
    """As to_reals, where sums[2 i] + 256 * sums[2 i + 1] may not fit a word."""

    def generate(context, builder, signature, args):
        kind = ir.VectorType(ir.DoubleType(), LANES)

        def joined(low, upper):
            upper = builder.fmul(builder.sitofp(upper, kind), ir.Constant(kind, [256.0] * LANES))
            return builder.fptrunc(builder.fadd(builder.sitofp(low, kind), upper), floats.llvm)

        return _by_limbs(builder, args[0], rows.count, joined)

    return types.UniTuple(floats, rows.count)(sums, rows), generate


@intrinsic
def add_reals(context, total, values, scale):
    """total[i] + values[i] * scale for every row i of two blocks of floats: two roundings."""

    def generate(context, builder, signature, args):
        found = args[0]
        for row in range(total.count):
            more = builder.fmul(builder.extract_value(args[1], row), args[2])
            found = builder.insert_value(found, builder.fadd(builder.extract_value(found, row), more), row)
        return found

    return total(total, values, scale), generate


@intrinsic
def zero_reals(context, rows):
    """As zero_integers, of floats."""
    block = types.UniTuple(floats, rows.count)

    def generate(context, builder, signature, args):
        return context.get_constant_null(block)

    return block(rows), generate


@intrinsic
def scaled(context, total, array, index):
    """total[i] * array[index + i] for every row i of a block of floats."""

    def generate(context, builder, signature, args):
        at, found = pointer(context, builder, signature, args[1:], array), args[0]
        for row in range(total.count):
            factor = broadcast(builder, builder.load(builder.gep(at, [I32(row)])), floats)
            found = builder.insert_value(found, builder.fmul(builder.extract_value(found, row), factor), row)
        return found

    return total(total, array, types.intp), generate


@intrinsic
def store_rows(context, array, index, step, rows):
    """array[index + i * step :][:LANES] = rows[i] for every row i of a block of integers or floats."""

    def generate(context, builder, signature, args):
        at = pointer(context, builder, signature, args)
        for row in range(rows.count):
            store_at(builder, builder.extract_value(args[3], row), at)
            at = builder.gep(at, [args[2]])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, rows), generate


def _by_limbs(builder, sums, count, joined):
    parts = [builder.extract_value(sums, i) for i in range(len(sums.type))]
    if len(parts) == count:
        reals = [builder.sitofp(part, floats.llvm) for part in parts]
    else:
        reals = [joined(*parts[2 * i : 2 * i + 2]) for i in range(count)]
    block = ir.Constant(ir.ArrayType(floats.llvm, count), ir.Undefined)
    for i, real in enumerate(reals):
        block = builder.insert_value(block, real, i)
    return block


def _by_row(builder, add, sums, w, at):
    for row in range(len(sums.type)):
        factor = broadcast(builder, builder.load(builder.gep(at, [I32(row)])), words)
        sums = builder.insert_value(sums, add(builder, builder.extract_value(sums, row), w, factor), row)
    return sums


def _dots(builder, sums, unsigned, signed):
    if HAS_DOTS:
        return _dot_instruction(builder, "vpdpbusd", sums, unsigned, signed)
    eight = ir.Constant(PAIRS, [8] * 2 * LANES)
    w, x = builder.bitcast(unsigned, PAIRS), builder.bitcast(signed, PAIRS)
    even = builder.lshr(builder.shl(w, eight), eight), builder.ashr(builder.shl(x, eight), eight)
    odd = builder.lshr(w, eight), builder.ashr(x, eight)
    return builder.add(sums, builder.add(_sums_of_pairs(builder, *even), _sums_of_pairs(builder, *odd)))


def _pairs(builder, sums, a, b):
    if HAS_DOTS:
        return _dot_instruction(builder, "vpdpwssd", sums, a, b)
    return builder.add(sums, _sums_of_pairs(builder, builder.bitcast(a, PAIRS), builder.bitcast(b, PAIRS)))


def _dot_instruction(builder, instruction, *vectors):
    return call(builder, f"llvm.x86.avx512.{instruction}.{32 * LANES}", words.llvm, *vectors)


def _sums_of_pairs(builder, a, b):
    """a[2 i] * b[2 i] + a[2 i + 1] * b[2 i + 1]: one instruction of x86."""
    wide = ir.VectorType(I32, 2 * LANES)
    products = builder.mul(builder.sext(a, wide), builder.sext(b, wide))
    first, second = (ir.Constant(words.llvm, list(range(start, 2 * LANES, 2))) for start in (0, 1))
    return builder.add(*(builder.shuffle_vector(products, products, mask) for mask in (first, second)))
