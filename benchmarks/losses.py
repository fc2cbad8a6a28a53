"""Losses with their gradient, 1024 x 32000: refq_fast beside PyTorch, eager and compiled. Needs `pip install torch`.

python -m benchmarks.losses [--rounds 15] [--threads 1 2]

KL + CE: KL from a teacher and cross-entropy in equal parts, and the gradient of their sum. CE: cross-entropy alone, by
refq in two calls. The limit is what copying the same memory takes: both logits are read once, the gradient is written.
torch.compile is warm. `kept`: the process keeps freed memory for the next call, as refq's commands do for training;
otherwise the C library gives it back each time, and its pages are cleared again.
"""

import argparse
import statistics

import numpy as np
import torch
from torch.nn import functional

import refq_fast
from benchmarks.copying import copying
from benchmarks.measure import interleaved
from benchmarks.report import Comparison, leave
from refq.app.engine import keep_freed_memory

SHAPE = 1024, 32000
GOALS = {("KL + CE", "torch eager"): 15}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    found = []
    for kept in (False, True):
        if kept:
            keep_freed_memory(2**30, 2**31 - 1)
        for threads in options.threads:
            found += compared(threads, options.rounds, ", kept" * kept)
    title = f"Losses with their gradient, {SHAPE[0]} x {SHAPE[1]} float32"
    leave("losses", title, __doc__.strip().splitlines()[4:], found, ["torch"])


def compared(threads, rounds, kept):
    """Comparisons of every loss with every peer."""
    refq_fast.threads.use(threads)
    torch.set_num_threads(threads)
    copy, size = copying()
    for work, arrays, works in table():
        seconds = interleaved(works | {"copy": copy}, rounds, threads)
        limit = size / statistics.median(seconds["copy"])
        moved = arrays * 4 * SHAPE[0] * SHAPE[1] / 1e9
        for peer in ("torch eager", "torch compiled"):
            goal = GOALS.get((work, peer))
            yield Comparison(work + kept, threads, peer, seconds["refq"], seconds[peer], moved, "GB", goal, limit)


def table():
    """Name, arrays read and written, and implementations of each loss."""
    random = np.random.default_rng(0)
    student, teacher = (random.standard_normal(SHAPE).astype(np.float32) for _ in range(2))
    targets, weight = random.integers(0, SHAPE[1], SHAPE[0]), np.full(SHAPE[0], 1 / SHAPE[0], np.float32)
    given, fixed, labels = torch.from_numpy(student).requires_grad_(), *map(torch.from_numpy, (teacher, targets))

    def mixed(given, fixed, labels):
        found = functional.log_softmax(given, -1)
        kl = functional.kl_div(found, functional.log_softmax(fixed, -1), log_target=True, reduction="batchmean")
        return 0.5 * kl + 0.5 * functional.nll_loss(found, labels)

    def entropy(given, fixed, labels):
        return functional.cross_entropy(given, labels)

    def both():
        refq_fast.cross_entropy(student, targets)
        refq_fast.cross_entropy_vjp(weight, student, targets)

    def peers(loss):
        compiled = torch.compile(loss)
        return {"torch eager": lambda: backward(loss), "torch compiled": lambda: backward(compiled)}

    def backward(loss):
        given.grad = None
        loss(given, fixed, labels).backward()

    fused = {"refq": lambda: refq_fast.kd_kl_and_grad(student, teacher, targets, weight, 0.5)}
    yield "KL + CE", 3, fused | peers(mixed)
    yield "CE", 2, {"refq": both} | peers(entropy)


if __name__ == "__main__":
    main()
