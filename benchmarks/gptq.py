"""GPTQ of one layer: refq_fast beside plain PyTorch, in one run. Needs `pip install torch`.

python -m benchmarks.gptq [--shapes 2048x2048 2048x5632] [--threads 1 2] [--rounds 5]

Both sides: 4 bits, symmetric, a scale for every 128 neighbours, the same Hessian, of inputs with common directions.
torch computes in float32, refq_fast the triangle and the sums in float64. Codes are compared with those of torch in
float64. Ratios are of process CPU time on one thread, of wall time on more. The process keeps freed memory, as refq's
commands do, and idle OpenMP threads sleep: spinning ones make torch ten times slower on a busy machine.
"""

import argparse
import datetime
import pathlib
import statistics
import time

import numba
import numpy as np

import refq_fast
from benchmarks.measure import ratio
from refq.app.engine import keep_freed_memory
from refq.app.info import cpu_name

RESULTS = pathlib.Path(__file__).parent / "results"
GROUP = 128


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["2048x2048", "2048x5632"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    keep_freed_memory(2**30, 2**31 - 1)
    import torch  # after refq_fast, which says that threads sleep while they wait

    lines = [HEADING.format(cpu_name(), np.__version__, numba.__version__, torch.__version__)]
    for shape in options.shapes:
        problem = layer(*map(int, shape.split("x")))
        agreement = differences(*problem)
        lines += [times(shape, problem, threads, options.rounds) + agreement for threads in options.threads]
    text = "\n".join(lines) + "\n"
    print(text)
    (RESULTS / f"{datetime.date.today()}-gptq.md").write_text(text)


HEADING = """# GPTQ of one layer beside PyTorch

{}, NumPy {}, Numba {}, PyTorch {}. Outputs by inputs; 4 bits, a scale for 128 neighbours.
Seconds of CPU and of wall time, medians of interleaved rounds; times faster: of the pairwise ratios, with quartiles, of
CPU time on one thread, of wall time on two. Last columns: codes unlike those of torch in float64, and rows with one.

| layer | threads | refq_fast: CPU | wall | torch: CPU | wall | times faster | refq_fast's codes | torch's, float32 |
|---|---:|---:|---:|---:|---:|---:|---:|---:|"""


def layer(rows, width):
    """w, hessian and scale of random numbers; inputs have 8 directions in common."""
    random = np.random.default_rng(0)
    x = random.standard_normal((2 * width, width), np.float32)
    x += random.standard_normal((2 * width, 8), np.float32) @ random.standard_normal((8, width), np.float32)
    w = random.standard_normal((rows, width), np.float32)
    scale = np.abs(w).reshape(rows, -1, GROUP).max(axis=2) / np.float32(7)
    return w, refq_fast.hessian(x), scale


def ours(w, hessian, scale):
    return refq_fast.gptq(w, hessian, scale, np.zeros(scale.shape, np.int32), -8, 7)[0]


def theirs(w, hessian, scale, real=np.float32):
    import torch

    from benchmarks.torch_gptq import torch_gptq

    with torch.no_grad():
        chosen = torch_gptq(*(torch.from_numpy(x.astype(real, copy=False)) for x in (w, hessian, scale)))
    return np.rint(chosen.numpy() / np.repeat(scale.astype(real), GROUP, axis=1)).astype(np.int32)


def differences(w, hessian, scale):
    """How many codes, and in how many rows, are not those of torch in float64."""
    exact = theirs(w, hessian, scale, np.float64)
    wrong = [found(w, hessian, scale) != exact for found in (ours, theirs)]
    return "".join(f" {part.sum():,} in {part.any(axis=1).sum():,} rows |" for part in wrong)


def times(shape, problem, threads, rounds):
    """A row of the table without its last columns."""
    import torch

    numba.set_num_threads(threads)
    torch.set_num_threads(threads)
    seconds = {work: [] for work in (ours, theirs)}
    for _ in range(rounds + 1):  # the first warms up
        for work, found in seconds.items():
            start = time.process_time(), time.perf_counter()
            work(*problem)
            found.append((time.process_time() - start[0], time.perf_counter() - start[1]))
    clocks = [list(zip(*found[1:], strict=True)) for found in seconds.values()]  # CPU, wall
    middle, low, high = ratio(*(clock[threads > 1] for clock in clocks))
    figures = " | ".join(f"{statistics.median(values):.2f}" for clock in clocks for values in clock)
    return f"| {shape} | {threads} | {figures} | {middle:.2f} ({low:.2f} to {high:.2f}) |"


if __name__ == "__main__":
    main()
