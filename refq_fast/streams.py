"""Results too large to stay in a cache: stored around it, so that their memory is not fetched to be overwritten."""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from refq_fast.simd import LANES, pointer, store_at

FAR = 2**22  # numbers of an array that nothing reads again before it has left the caches
LINE = 64  # bytes


def aligned(shape, dtype):
    """An array that begins a cache line: no vector of it lies in two lines."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + size].view(dtype).reshape(shape)


@intrinsic
def stream(context, array, index, value, far):
    """array[index : index + LANES] = value, of a flat array; around the caches if `far`, where a vector may begin.

    Other threads see it after the next locked instruction of this one; none hands over a result without one.
    """

    def generate(context, builder, signature, args):
        at, last = pointer(context, builder, signature, args), ir.IntType(64)(4 * LANES - 1)
        begins = builder.icmp_unsigned("==", builder.and_(builder.ptrtoint(at, last.type), last), last.type(0))
        with builder.if_else(builder.and_(begins, args[3])) as (around, through):
            with around:
                instruction = store_at(builder, args[2], at)
                instruction.align = 4 * LANES
                instruction.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
            with through:
                store_at(builder, args[2], at)
        return context.get_dummy_value()

    return types.void(array, types.intp, value, types.boolean), generate
