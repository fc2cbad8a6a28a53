"""The grids that learn, 4096 x 4096 with a grid a row: refq_fast beside refq and PyTorch. Needs `pip install torch`.

python -m benchmarks.learned_grids [--rounds 7] [--threads 1 2]

PyTorch twice: eager (clamp, a rounding that passes gradients, its own differentiation), and its fused learnable kernel.
One thread: process CPU time; two: wall time.
"""

import argparse
import datetime
import functools
import pathlib
import statistics

import numba
import numpy as np
import torch

import refq
import refq_fast
from benchmarks.measure import interleaved, ratio
from refq.app.info import cpu_name

SIDE, QMIN, QMAX = 4096, -8, 7
RESULTS = pathlib.Path(__file__).parent / "results"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    lines = [HEADING.format(cpu_name(), np.__version__, numba.__version__, torch.__version__)]
    for threads in options.threads:
        numba.set_num_threads(threads)
        torch.set_num_threads(threads)
        lines += [line(name, works, threads, options.rounds) for name, works in table()]
    text = "\n".join(lines) + "\n"
    print(text)
    (RESULTS / f"{datetime.date.today()}-learned-grids.md").write_text(text)


HEADING = f"""# Grids that learn, {SIDE} x {SIDE} float32, 4 bits, a grid a row

{{}}, NumPy {{}}, Numba {{}}, PyTorch {{}}.
One thread: process CPU time; two: wall time. Milliseconds, median.
Times faster: median (quartiles) of interleaved pairs.

| work | refq_fast | refq | PyTorch eager | PyTorch learnable | times faster than refq | than eager | than learnable |
|---|---:|---:|---:|---:|---:|---:|---:|"""


def table():
    """Name and implementations of each work."""
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

    peers = {"eager": lambda: eager(False), "learnable": lambda: learnable(False)}
    yield "lsq", of("lsq", x, scale, 0, QMIN, QMAX) | peers
    yield "lsq_vjp", of("lsq_vjp", g, x, scale, 0, QMIN, QMAX)
    peers = {"eager": lambda: eager(True), "learnable": lambda: learnable(True)}
    yield "lsq, then lsq_vjp", {"refq_fast": lambda: both(refq_fast), "refq": lambda: both(refq)} | peers
    yield "lsq_plus", of("lsq_plus", x, scale, offset, QMIN, QMAX)
    yield "lsq_plus_vjp", of("lsq_plus_vjp", g, x, scale, offset, QMIN, QMAX)
    yield "learned_range", of("learned_range", x, low, high, 4, True)
    yield "learned_range_vjp", of("learned_range_vjp", g, x, low, high, 4, True)


def line(name, works, threads, rounds):
    """A row of the table."""
    seconds = interleaved(works, rounds, threads)
    columns = ("refq_fast", "refq", "eager", "learnable")
    times = [f"{statistics.median(seconds[c]) * 1e3:.1f}" if c in seconds else "" for c in columns]
    faster = [
        "{:.1f} ({:.1f} to {:.1f})".format(*ratio(seconds["refq_fast"], seconds[c])) if c in seconds else ""
        for c in columns[1:]
    ]
    return f"| {name}, {threads} thread{'s' * (threads > 1)} | " + " | ".join(times + faster) + " |"


if __name__ == "__main__":
    main()
