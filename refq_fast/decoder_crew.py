"""Threads that share the work of a token, called together once: starting them for each product would cost more.

One leads and offers its work in pieces; whoever is there takes the next one, the leader too. It waits for pieces that
are being worked at, never for a thread that has not come, so that any schedule of the threads comes to its end.

    crew    int64 (SIZE,): places for the numbers below, each on a cache line of its own
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from refq_fast.kernel import serial
from refq_fast.simd import call, has, pointer

_yield = types.ExternalFunction("sched_yield", types.int32())

MEMBERS, OFFERED, TAKEN, DONE, JOB, SIZE = range(0, 48, 8)  # all so far: who has come; pieces
THREADS, PIECES = JOB + 4, JOB + 5  # who may come; pieces of the present job, whose three numbers stand at JOB
FAILED = JOB + 6  # 1 when memory has run out
PATIENCE = 200  # moments, of 10 to 40 nanoseconds
OVER = -1  # pieces offered, when no more will be


@serial
def leads(crew):
    """Whether the caller is the first of its crew."""
    return _add(crew, MEMBERS, 1) == 0


@serial
def offer(crew, pieces):
    """Let the crew take so many pieces of what stands at JOB."""
    crew[PIECES] = pieces
    _set(crew, OFFERED, _get(crew, OFFERED) + pieces)


@serial
def take(crew):
    """A piece of the job that is the caller's now, or -1."""
    offered, taken = _get(crew, OFFERED), _get(crew, TAKEN)
    if taken < offered and _swap(crew, TAKEN, taken, taken + 1):
        return crew[PIECES] - (offered - taken)
    return -1


@serial
def wait(times):
    """A moment, for the times-th time in a row; in the end others may have the processor, perhaps who is waited for."""
    if times < PATIENCE:
        _pause()
    else:
        _yield()


@serial
def finish(crew):
    """Tell that a piece is done."""
    _add(crew, DONE, 1)


@serial
def left(crew):
    """Whether pieces are left to take, or are being worked at."""
    return _get(crew, DONE) < _get(crew, OFFERED)


@serial
def over(crew):
    return _get(crew, OFFERED) == OVER


@serial
def dismiss(crew):
    """No more pieces will come."""
    _set(crew, OFFERED, OVER)


@intrinsic
def borrowed(context, arrays):
    """An array, or a tuple of such, that is not counted from here on: counting costs more than a small product."""

    def generate(context, builder, signature, args):
        return _not_counted(context, builder, arrays, args[0])

    return arrays(arrays), generate


def _not_counted(context, builder, kind, value):
    if not isinstance(kind, types.BaseTuple):
        found = make_array(kind)(context, builder, value)
        found.meminfo = context.get_constant_null(types.MemInfoPointer(types.voidptr))
        return found._getvalue()
    for i, each in enumerate(kind.types):
        part = _not_counted(context, builder, each, builder.extract_value(value, i))
        value = builder.insert_value(value, part, i)
    return value


@intrinsic
def _get(context, array, index):
    """array[index], and all that was written before it was."""

    def generate(context, builder, signature, args):
        return builder.load_atomic(pointer(context, builder, signature, args), "acquire", 8)

    return types.int64(array, types.intp), generate


@intrinsic
def _set(context, array, index, value):
    """array[index] = value, seen after all that was written before."""

    def generate(context, builder, signature, args):
        builder.store_atomic(args[2], pointer(context, builder, signature, args), "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), generate


@intrinsic
def _add(context, array, index, value):
    """array[index] += value in one step; gives what it was."""

    def generate(context, builder, signature, args):
        return builder.atomic_rmw("add", pointer(context, builder, signature, args), args[2], "acq_rel")

    return types.int64(array, types.intp, types.int64), generate


@intrinsic
def _swap(context, array, index, old, new):
    """Whether array[index] was `old`, and so became `new`."""

    def generate(context, builder, signature, args):
        found = builder.cmpxchg(pointer(context, builder, signature, args), args[2], args[3], "acq_rel", "acquire")
        return builder.extract_value(found, 1)

    return types.boolean(array, types.intp, types.int64, types.int64), generate


@intrinsic
def _pause(context):
    """Tell the processor that the caller waits."""

    def generate(context, builder, signature, args):
        if has("sse2"):
            call(builder, "llvm.x86.sse2.pause", ir.VoidType())
        return context.get_dummy_value()

    return types.void(), generate
