"""Weights of other widths and grids than those of benchmarks.integer_matmul, which runs this too: one token and 128.

The peer of a row is the faster one of ONNX Runtime's MatMulNBits, at the accuracy level of the inputs, and of a float32
product. One token meets more than 100 MB of weights in all, so that each comes from memory.
"""

import functools
import itertools
import statistics

import numpy as np

import refq_fast
from benchmarks.matmul_nbits import APART, foreign, stored
from benchmarks.measure import interleaved
from benchmarks.report import Comparison

TOKENS = (1, 128)
PACKED = {
    "2 bits, group 32": (2, 32),
    "3 bits, group 32": (3, 32),
    "4 bits, group 64": (4, 64),
}  # bits, size of a group
PACKED |= {"4 bits, a grid a row": (4, 0), "8 bits, group 32": (8, 32), "8 bits, a grid a row": (8, 0)}
CODEBOOKS = {"codebook of 4 a row": (2, 0), "codebook of 16 a row": (4, 0), "codebook of 16, group 128": (4, 128)}
SIDES = {"8 bits": ("ONNX level 4", "sgemm"), "float32": ("ONNX level 0", "sgemm")}  # inputs, peers


def compare(side, threads, rounds):
    """A Comparison for each kind of weight, of inputs, and number of tokens."""
    for name, count in itertools.product((*PACKED, *CODEBOOKS), TOKENS):
        x = np.random.default_rng(1).standard_normal((count, side)).astype(np.float32)
        products = _products(name, side, threads, count)
        works = {label: functools.partial(product, x) for label, (_, product) in products.items()}
        seconds = interleaved(works, rounds, threads)
        seconds = {label: [t / products[label][0] for t in values] for label, values in seconds.items()}
        for ours, peers in SIDES.items():
            if ours in seconds:
                peer = min(set(peers) & set(seconds), key=lambda label: statistics.median(seconds[label]))
                work, amount = f"{count} token{'s' * (count > 1)}, {ours}, {name}", 2e-9 * count * side**2
                yield Comparison(work, threads, peer, seconds[ours], seconds[peer], amount, "GOP")


def _products(name, side, threads, count):
    """(number of weights, function of x), by what computes them; so many that one token finds none in a cache."""
    bits, size = (PACKED | CODEBOOKS)[name]

    def copies(width):
        return 1 + (count == 1) * int(APART / (side**2 * width / 8))

    def each(make, width, product):
        weights = [make() for _ in range(copies(width))]
        return len(weights), lambda x: [product(w, x) for w in weights]

    found = {"sgemm": each(lambda: np.ones((side, side), np.float32), 32, lambda w, x: x @ w.T)}
    if name in CODEBOOKS:
        codes = stored(side, size or side, True, bits)[0]
        tables = np.random.default_rng(0).standard_normal((side, side // (size or side), 2**bits)).astype(np.float32)
        return found | {"float32": each(lambda: refq_fast.CodebookWeight(codes, tables, bits), bits, _product)}
    arguments = stored(side, size or side, True, bits)
    found["float32"] = each(lambda: refq_fast.PackedWeight(*arguments), bits, _product)
    found["8 bits"] = each(lambda: refq_fast.PackedWeight(*arguments), bits, lambda w, x: w.quantized_linear(x, 8))
    levels = (0, 4) if bits == 4 else (4,) if bits != 3 else ()  # at level 0 the others are slower than sgemm
    for level in levels if size else ():  # it has no group as wide as a row
        found[f"ONNX level {level}"] = copies(bits), foreign(arguments, level, threads, copies(bits))
    return found


def _product(weight, x):
    return weight.product(x)
