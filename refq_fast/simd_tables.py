"""Vectors as Numba values, continued: tables of 16 numbers in a register, of 256 in sixteen, and sums across lanes.

With HAS_BYTE_TABLES (AVX-512 VBMI) bytes can be permuted, which byte_entries and byte_fields do.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from refq_fast.simd import LANES, call, floats, has, pointer, vector_at, words

I8, I16, I32, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.FloatType()
BYTES, X86 = ir.VectorType(I8, 64), "llvm.x86.avx512."
HAS_BYTE_TABLES = LANES == 16 and has("avx512vbmi")
planes = types.UniTuple(words, 16)  # of a table of 256 float32 the lowest bytes, the next ones, ..., the highest


@intrinsic
def entries(context, table, index, value):
    """table[index + w % 16] for every word w, of a flat float32 array; one instruction where the CPU has it."""

    def generate(context, builder, signature, args):
        at = pointer(context, builder, signature, args)
        if LANES == 16:
            return call(builder, "llvm.x86.avx512.permvar.sf.512", floats.llvm, vector_at(builder, at, F32), args[2])
        found = ir.Constant(floats.llvm, ir.Undefined)
        for lane in range(LANES):
            place = builder.and_(builder.extract_element(args[2], I32(lane)), I32(15))
            found = builder.insert_element(found, builder.load(builder.gep(at, [place])), I32(lane))
        return found

    return floats(table, types.intp, words), generate


@intrinsic
def load_planes(context, array, index):
    """array[index : index + 256], of a flat uint32 array, where HAS_BYTE_TABLES."""

    def generate(context, builder, signature, args):
        at, value = pointer(context, builder, signature, args), context.get_constant_null(planes)
        for i in range(len(planes)):
            value = builder.insert_value(value, vector_at(builder, builder.gep(at, [I32(i * LANES)]), I32), i)
        return value

    return planes(array, types.intp), generate


@intrinsic
def byte_entries(context, table, index):
    """The entries of 64 indices, the bytes of `index`: in vector v lane l is of byte 16 * (l // 4) + 4 * v + l % 4."""

    def generate(context, builder, signature, args):
        held = [builder.bitcast(value, BYTES) for value in cgutils.unpack_tuple(builder, args[0])]
        places = builder.bitcast(args[1], BYTES)
        high = builder.icmp_signed("<", places, ir.Constant(BYTES, [0] * 64))

        def plane(a, b, c, d):
            low, top = (call(builder, X86 + "vpermi2var.qi.512", BYTES, x, places, y) for x, y in ((a, b), (c, d)))
            return builder.select(high, top, low)

        b0, b1, b2, b3 = (plane(*held[i : i + 4]) for i in range(0, 16, 4))
        found = []
        for low, top in zip(_interleaved(builder, b0, b1, I8), _interleaved(builder, b2, b3, I8), strict=True):
            found += _interleaved(builder, low, top, I16)
        return context.make_tuple(builder, signature.return_type, [builder.bitcast(f, floats.llvm) for f in found])

    return types.UniTuple(floats, 4)(planes, words), generate


@intrinsic
def byte_fields(context, array, index, order, shift, half):
    """64 codes of 1 to 7 bits, from array[index] on, as bytes; 64 bytes of the flat uint8 array are read.

    order, shift: for each code the place of the byte its eight begin with, and bit it begins with, as bytes.
    half: bytes of 2**(bits - 1).
    """

    def generate(context, builder, signature, args):
        at = pointer(context, builder, signature, args)
        order, shift, half = (builder.bitcast(value, BYTES) for value in args[2:])
        found = call(builder, X86 + "permvar.qi.512", BYTES, builder.bitcast(vector_at(builder, at, I32), BYTES), order)
        found = call(builder, X86 + "pmultishift.qb.512", BYTES, shift, found)
        mask = builder.add(half, builder.add(half, ir.Constant(BYTES, [-1] * 64)))
        found = builder.sub(builder.xor(builder.and_(found, mask), half), half)
        return builder.bitcast(found, words.llvm)

    return words(array, types.intp, words, words, words), generate


def _interleaved(builder, a, b, element):
    """The elements of a and b by turns: of the first halves of their quarters, then of the second."""
    count = 512 // element.width
    kind, quarter = ir.VectorType(element, count), count // 4
    a, b = builder.bitcast(a, kind), builder.bitcast(b, kind)
    for half in (0, quarter // 2):
        pairs = [(q + half + i, q + half + i + count) for q in range(0, count, quarter) for i in range(quarter // 2)]
        mask = ir.Constant(ir.VectorType(I32, count), [place for pair in pairs for place in pair])
        yield builder.shuffle_vector(a, b, mask)


@intrinsic
def across(context, value):
    """The sum of the numbers of a vector: of its halves, of theirs, and so on."""

    def generate(context, builder, signature, args):
        kind, found, half = ir.VectorType(I32, LANES), args[0], LANES // 2
        while half:
            mask = ir.Constant(kind, [lane ^ half for lane in range(LANES)])
            found, half = builder.fadd(found, builder.shuffle_vector(found, found, mask)), half // 2
        return builder.extract_element(found, I32(0))

    return types.float32(floats), generate
