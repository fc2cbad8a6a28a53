"""GPTQ of one layer: refq_fast beside plain PyTorch, in one run. Needs `pip install torch`.

python -m benchmarks.gptq [--shapes 2048x2048 2048x5632] [--threads 1 2] [--rounds 5]

Both sides: 4 bits, symmetric, a scale for every 128 neighbours, the same Hessian, of inputs with common directions.
torch computes in float32, refq_fast the triangle and the sums in float64. Codes are compared with those of torch in
float64. The process keeps freed memory, as refq's commands do, and idle OpenMP threads sleep: spinning ones make torch
ten times slower on a busy machine.
"""

import argparse
import statistics

import numpy as np
import threadpoolctl

import refq_fast
from benchmarks.measure import interleaved
from benchmarks.report import Comparison, leave
from refq.app.engine import keep_freed_memory

GROUP = 128
GOALS = {"2048x2048": 1.5, "2048x5632": 2.5}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=list(GOALS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    keep_freed_memory(2**30, 2**31 - 1)
    import torch  # noqa: F401 (after refq_fast, which says that threads sleep while they wait)

    comparisons, notes = [], [*NOTES]
    for shape in options.shapes:
        problem = layer(*map(int, shape.split("x")))
        notes.append(differences(shape, *problem))
        for threads in options.threads:
            comparison, note = compared(shape, problem, threads, options.rounds)
            comparisons.append(comparison)
            notes.append(note)
    leave("gptq", "GPTQ of one layer beside PyTorch", notes, comparisons, ("torch",))


NOTES = [
    "Outputs by inputs; 4 bits, a scale for 128 neighbours. Counted is what the work needs, of n inputs and m outputs",
    "n**3 / 3 operations for the triangle and m n**2 for the sums; plain GPTQ takes 4 n**3 / 3 for its triangle.",
    "The limit is what a product of float64 matrices of m by n and n by n reaches, BLAS in as many threads.",
]


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


def differences(shape, w, hessian, scale):
    """A sentence: how many codes, and in how many rows, are not those of torch in float64."""
    exact = theirs(w, hessian, scale, np.float64)
    wrong = [found(w, hessian, scale) != exact for found in (ours, theirs)]
    told = [f"{part.sum():,} in {part.any(axis=1).sum():,} rows" for part in wrong]
    return f"{shape}: codes unlike those of torch in float64: refq {told[0]}; torch in float32 {told[1]}."


def compared(shape, problem, threads, rounds):
    """A Comparison, and a sentence on what plain products reach."""
    import torch

    refq_fast.threads.use(threads)
    torch.set_num_threads(threads)
    w, hessian, _ = problem
    wide = w.astype(np.float64), hessian.astype(np.float64)

    def product(*factors):
        with threadpoolctl.threadpool_limits(threads, user_api="blas"):
            np.matmul(*factors)

    works = {
        "refq": lambda: ours(*problem),
        "torch": lambda: theirs(*problem),
        "float32": lambda: product(w, hessian),
        "float64": lambda: product(*wide),
    }
    seconds = interleaved(works, rounds, threads)
    needed = (w.shape[1] ** 3 / 3 + w.size * w.shape[1]) / 1e9
    single, double = (2 * w.size * w.shape[1] / 1e9 / statistics.median(seconds[f"float{n}"]) for n in (32, 64))
    share = needed / statistics.median(seconds["refq"]) / single
    note = f"{shape}, {threads} thread{'s' * (threads > 1)}: products reach {single:.0f} GFLOP/s in float32, of which "
    note += f"refq's GPTQ has {share:.0%}, and {double:.0f} in float64."
    comparison = Comparison(
        shape, threads, "torch", seconds["refq"], seconds["torch"], needed, "GFLOP", GOALS.get(shape), double
    )
    return comparison, note


if __name__ == "__main__":
    main()
