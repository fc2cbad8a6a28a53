"""4-bit weights times activations of 8 and 15 bits and of float32, beside ONNX Runtime and a float32 product.

python -m benchmarks.integer_matmul [--side 4096] [--rounds 15] [--threads 1 2] [--groups 32 128]    (onnx, onnxruntime)

One token: a round multiplies with weights of more than 100 MB in all, so that each comes from memory; the limit is a
plain sum over 512 MB, fetched ahead. Several tokens: one weight; the limit is a loop of nothing but dot products of
bytes on each thread. MatMulNBits makes codes of 8 bits of x at accuracy level 4, and float32 at level 0. Set no
OPENBLAS_CORETYPE. llama.cpp is measured by benchmarks.prefill, on whole models. weight_kinds, which this runs too, has
weights of other widths, and codebooks.
"""

import argparse
import statistics

import numpy as np
import threadpoolctl

import refq_fast
from benchmarks import weight_kinds
from benchmarks.matmul_nbits import APART, foreign, stored
from benchmarks.measure import interleaved
from benchmarks.reading import reading
from benchmarks.report import Comparison, leave
from refq_fast.kernel import serial
from refq_fast.simd import LANES
from refq_fast.simd_integers import (
    HAS_DOTS,
    add_dots,
    splat_word,
    store_rows,
    zero_integers,
)

TOKENS, PIECES, DOTS, BLOCK = (16, 128, 512), 16, 20_000, (0,) * 16


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--groups", type=int, nargs="+", default=[32, 128])
    options = parser.parse_args()
    rows, others, told = [], [], {}
    for threads in options.threads:
        refq_fast.threads.use(threads)
        with threadpoolctl.threadpool_limits(threads, user_api="blas"):
            for group in options.groups:
                for symmetric in (True, False):
                    weight = stored(options.side, group, symmetric)
                    rows += one_token(weight, threads, options.rounds, told)
                    rows += [row for n in TOKENS for row in tokens(weight, n, threads, options.rounds, told)]
            others += weight_kinds.compare(options.side, threads, options.rounds)
    sizes = f"{options.side} inputs and outputs, {'with' if HAS_DOTS else 'without'} dot products of bytes."
    leave(
        "weight-kinds", "Products with weights of other widths, groups and codebooks", [sizes], others, ["onnxruntime"]
    )
    notes = [sizes]
    notes += [f"{name}: {' '.join(f'{value:.3g}' for value in values)}." for name, values in told.items()]
    leave("integer-matmul", "Products with 4-bit weights", notes, rows, ("onnxruntime",))


def named(weight):
    grid = "asymmetric" if weight[2].any() else "symmetric"
    return f"group {weight[0].shape[1] * 2 // weight[1].shape[1]}, {grid}"


def one_token(weight, threads, rounds, told):
    """Rows of the table for one row of x: bytes of weights a second."""
    x = np.random.default_rng(1).standard_normal((1, len(weight[0]))).astype(np.float32)
    size = weight[0].nbytes + weight[1].nbytes // 2
    copies = int(APART // size) + 1
    packed = [refq_fast.PackedWeight(*weight) for _ in range(copies)]
    low, high = (foreign(weight, level, threads, copies) for level in (4, 0))
    works = {  # no two after each other of the same arrays, of which a cache could still hold a part
        "8 bits": lambda: [each.quantized_linear(x, 8) for each in packed],
        "level 4": lambda: low(x),
        "15 bits": lambda: [each.quantized_linear(x, 15) for each in packed],
        "level 0": lambda: high(x),
        "float32": lambda: [each.product(x) for each in packed],
    }
    exact = x.astype(np.float64) @ packed[0].dequantized(x).astype(np.float64).T
    for name in works:
        error = np.linalg.norm(works[name]()[0] - exact) / np.linalg.norm(exact)
        told.setdefault(f"Relative errors of one token, {name}", []).append(error)
    works["read"], amount = reading(2**29, threads)
    seconds = interleaved(works, rounds, threads)
    limit = 1e-9 * amount / statistics.median(seconds["read"])
    told.setdefault(f"GB/s read by {threads} threads", []).append(limit)
    for ours, peer, goal in (("8 bits", "level 4", 1.35), ("15 bits", "level 0", 4.5), ("float32", "level 0", 3)):
        work = f"1 token, {ours}, {named(weight)}"
        amount = len(packed) * size * 1e-9
        yield Comparison(work, threads, f"ONNX {peer}", seconds[ours], seconds[peer], amount, "GB", goal, limit)


def tokens(weight, count, threads, rounds, told):
    """Rows of the table for `count` rows of x: billions of operations a second, two a product."""
    side = len(weight[0])
    x = np.random.default_rng(1).standard_normal((count, side)).astype(np.float32)
    packed, session = refq_fast.PackedWeight(*weight), foreign(weight, 4, threads)
    real = packed.dequantized(x)
    works = {
        "8 bits": lambda: packed.quantized_linear(x, 8),
        "15 bits": lambda: packed.quantized_linear(x, 15),
        "float32": lambda: packed.product(x),
        "ONNX level 4": lambda: session(x),
        "sgemm": lambda: x @ real.T,
    }
    seconds = interleaved(works, rounds, threads)
    limit = threads * _ceiling(rounds)
    told.setdefault("GOP/s of dot products by 1 thread", []).append(limit / threads)
    peer = min(("ONNX level 4", "sgemm"), key=lambda name: statistics.median(seconds[name]))
    goal = 2 if weight[1].shape[1] * 128 <= side else 1.5
    for ours, against, wanted in (("8 bits", peer, goal), ("15 bits", "sgemm", None), ("float32", "sgemm", None)):
        work, amount = f"{count} tokens, {ours}, {named(weight)}", 2e-9 * count * side**2
        yield Comparison(work, threads, against, seconds[ours], seconds[against], amount, "GOP", wanted, limit)


def _ceiling(rounds):
    """Billions of operations a second of one thread in a loop of nothing but dot products."""
    sums = np.zeros((PIECES, len(BLOCK) * LANES), np.int32)
    seconds = interleaved({"dots": lambda: _dots(np.ones(16, np.int32), BLOCK, sums)}, rounds)["dots"]
    return 8e-9 * LANES * len(BLOCK) * DOTS * PIECES / statistics.median(seconds)


@serial
def _dots(x, rows, sums):
    for piece in range(len(sums)):
        found, w = zero_integers(rows), splat_word(np.int32(0x01020304))
        for _ in range(DOTS):
            found = add_dots(found, w, x, 0)
        store_rows(sums[piece], 0, LANES, found)


if __name__ == "__main__":
    main()
