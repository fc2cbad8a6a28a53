"""Causal attention, forward and backward, beside PyTorch's scaled_dot_product_attention. Needs `pip install torch`.

python -m benchmarks.attention [--rounds 9] [--threads 1 2]

8 heads of 64 numbers, float32; at 128 positions 8 sequences, at 512 and 2048 one. Neither side stores a matrix of
positions by positions. A product of queries and keys counts where a query sees a key: forward 2 products, backward 5.
The limit is what a product of 2048 x 2048 x 2048 takes.
"""

import argparse
import statistics

import numpy as np
import torch
from torch.nn import functional

import refq_fast
from benchmarks.measure import interleaved
from benchmarks.report import Comparison, leave
from refq.app.engine import keep_freed_memory
from refq_fast import blas

HEADS, WIDTH = 8, 64
CASES = {128: 8, 512: 1, 2048: 1}  # positions: sequences


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    keep_freed_memory(2**30, 2**31 - 1)
    found = []
    for threads in options.threads:
        refq_fast.threads.use(threads)
        torch.set_num_threads(threads)
        limit = products(options.rounds, threads)
        for T in CASES:
            found += compared(T, options.rounds, threads, limit)
    leave("attention", "Causal attention beside PyTorch", __doc__.strip().splitlines()[4:], found, ["torch"])


def products(rounds, threads):
    """GFLOP a second of a large product."""
    x = np.ones((2048, 2048), np.float32)
    seconds = interleaved({"product": lambda: blas.product(x, x)}, rounds, threads)
    return 2 * 2.048**3 / statistics.median(seconds["product"])


def compared(T, rounds, threads, limit):
    """Comparisons of the forward pass, and of both."""
    random, B = np.random.default_rng(0), CASES[T]
    q, k, v, g = (random.standard_normal((B, HEADS, T, WIDTH)).astype(np.float32) for _ in range(4))
    tensors, upstream = [torch.from_numpy(x).requires_grad_() for x in (q, k, v)], torch.from_numpy(g)
    q, g = q[:, :, None], g[:, :, None]  # a query head for each key head

    def theirs():
        return functional.scaled_dot_product_attention(*tensors, is_causal=True)

    def forward():
        with torch.no_grad():
            theirs()

    def both():
        refq_fast.causal_attention(q, k, v)
        refq_fast.causal_attention_vjp(g, q, k, v)

    forwards = {"refq": lambda: refq_fast.causal_attention(q, k, v), "torch": forward}
    works = {"forward": (2, forwards)}
    works["forward and backward"] = 7, {"refq": both, "torch": lambda: torch.autograd.grad(theirs(), tensors, upstream)}
    for name, (count, sides) in works.items():
        seconds, amount = interleaved(sides, rounds, threads), count * 2 * B * HEADS * WIDTH * T * (T + 1) / 2 / 1e9
        work = f"{name}, {B} x {T} positions"
        yield Comparison(work, threads, "torch", seconds["refq"], seconds["torch"], amount, "GFLOP", None, limit)


if __name__ == "__main__":
    main()
