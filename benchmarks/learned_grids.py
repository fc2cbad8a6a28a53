"""The grids that learn, 4096 x 4096 with a grid a row: refq_fast beside refq and PyTorch. Needs `pip install torch`.

python -m benchmarks.learned_grids [--rounds 7] [--threads 1 2]

PyTorch twice: eager (clamp, a rounding that passes gradients, its own differentiation), and its fused learnable kernel.
The limit is what copying the same memory takes.
"""

import argparse
import functools
import statistics

import numpy as np
import torch

import refq
import refq_fast
from benchmarks.copying import copying
from benchmarks.measure import interleaved
from benchmarks.report import Comparison, leave
from refq.app.engine import keep_freed_memory

SIDE, QMIN, QMAX = 4096, -8, 7
ARRAY = 4 * SIDE**2 / 1e9  # GB
FORWARD, BACKWARD = 2 * ARRAY, 3 * ARRAY  # x, x_hat; g, x, gx


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    found = [each for kept in (False, True) for each in compared(options.threads, options.rounds, kept)]
    title = f"Grids that learn, {SIDE} x {SIDE} float32, 4 bits, a grid a row"
    leave("learned-grids", title, NOTES, found, ["torch"])


GOALS = {"torch eager": 30}
NOTES = [
    "The limit is what copying the same memory takes. The C library gives large arrays back to the system at once, and",
    "clears their pages again at the next call; 'kept': the process keeps them, as refq's commands do for training.",
]


def compared(counts, rounds, kept):
    """All works with each number of threads."""
    if kept:
        keep_freed_memory(2**30, 2**31 - 1)
    for threads in counts:
        refq_fast.threads.use(threads)
        torch.set_num_threads(threads)
        copy, size = copying()
        for name, moved, works in table():
            seconds = interleaved(works | {"copy": copy}, rounds, threads)
            limit = size / statistics.median(seconds.pop("copy"))
            name += ", kept" * kept
            yield from [
                Comparison(
                    name, threads, peer, seconds["refq_fast"], seconds[peer], moved, "GB", GOALS.get(peer), limit
                )
                for peer in seconds
                if peer != "refq_fast"
            ]


def table():
    """Name, GB and implementations of each work."""
    random = np.random.default_rng(0)
    x, g = (random.standard_normal((SIDE, SIDE)).astype(np.float32) for _ in range(2))
    scale = refq.minmax(x, QMIN, QMAX)[0]
    offset, low, high = scale * np.float32(0.3), QMIN * scale, QMAX * scale
    tensors = torch.from_numpy(x), torch.from_numpy(scale)
    upstream, flat, zero = torch.from_numpy(g), tensors[1].reshape(-1), torch.zeros(SIDE)

    def both(engine):
        engine.lsq(x, scale, 0, QMIN, QMAX)
        engine.lsq_vjp(g, x, scale, 0, QMIN, QMAX)

    def eager(backward):
        x, scale = (t.detach().requires_grad_(backward) for t in tensors)
        t = torch.clamp(x / scale, QMIN, QMAX)
        x_hat = (t + (torch.round(t) - t).detach()) * scale
        if backward:
            x_hat.backward(upstream)

    def learnable(backward):
        x, scale = (t.detach().requires_grad_(backward) for t in (tensors[0], flat))
        x_hat = torch._fake_quantize_learnable_per_channel_affine(x, scale, zero, 0, QMIN, QMAX, 1.0)
        if backward:
            x_hat.backward(upstream)

    def of(name, *arguments):
        return {engine.__name__: functools.partial(getattr(engine, name), *arguments) for engine in (refq_fast, refq)}

    peers = {"torch eager": lambda: eager(False), "torch learnable": lambda: learnable(False)}
    yield "lsq", FORWARD, of("lsq", x, scale, 0, QMIN, QMAX) | peers
    yield "lsq_vjp", BACKWARD, of("lsq_vjp", g, x, scale, 0, QMIN, QMAX)
    peers = {"torch eager": lambda: eager(True), "torch learnable": lambda: learnable(True)}
    yield (
        "lsq, then lsq_vjp",
        FORWARD + BACKWARD,
        {"refq_fast": lambda: both(refq_fast), "refq": lambda: both(refq)} | peers,
    )
    yield "lsq_plus", FORWARD, of("lsq_plus", x, scale, offset, QMIN, QMAX)
    yield "lsq_plus_vjp", BACKWARD, of("lsq_plus_vjp", g, x, scale, offset, QMIN, QMAX)
    yield "learned_range", FORWARD, of("learned_range", x, low, high, 4, True)
    yield "learned_range_vjp", BACKWARD, of("learned_range_vjp", g, x, low, high, 4, True)


if __name__ == "__main__":
    main()
