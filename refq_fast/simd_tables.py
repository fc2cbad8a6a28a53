"""Vectors as Numba values, continued: tables of 16 numbers in a register, and sums across its lanes."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from refq_fast.simd import LANES, call, floats, pointer, vector_at, words

I32, F32 = ir.IntType(32), ir.FloatType()


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
def across(context, value):
    """The sum of the numbers of a vector: of its halves, of theirs, and so on."""

    def generate(context, builder, signature, args):
        kind, found, half = ir.VectorType(I32, LANES), args[0], LANES // 2
        while half:
            mask = ir.Constant(kind, [lane ^ half for lane in range(LANES)])
            found, half = builder.fadd(found, builder.shuffle_vector(found, found, mask)), half // 2
        return builder.extract_element(found, I32(0))

    return types.float32(floats), generate
