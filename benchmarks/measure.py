"""Interleaved timing, A B A B ..., so that a busy moment hits both.

One thread counts process CPU time. Several count wall time, after the same work has been done for a moment: threads of
the work before it have gone to sleep by then (OpenBLAS's stay awake for 104 ms), and no core is asleep.
"""

import statistics
import time

_MOMENT = 0.15  # seconds


def interleaved(works, rounds=9, threads=1):
    """Seconds of each named work: every round runs all of them once; the first round warms up and is dropped."""
    clock = time.process_time if threads == 1 else time.perf_counter
    seconds = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            start = time.perf_counter()
            while threads > 1 and time.perf_counter() < start + _MOMENT:
                work()
            start = clock()
            work()
            seconds[name].append(clock() - start)
    return {name: values[1:] for name, values in seconds.items()}


def ratio(ours, theirs):
    """How many times faster ours is: median of the pairwise ratios, and their quartiles."""
    pairs = [b / a for a, b in zip(ours, theirs, strict=True)]
    low, middle, high = statistics.quantiles(pairs, n=4)
    return middle, low, high


def row(label, unit, amount, seconds, ours, theirs):
    """One line of a table: amount per second of both, ratio with its quartiles."""
    middle, low, high = ratio(seconds[ours], seconds[theirs])
    fast, peer = (amount / statistics.median(seconds[name]) for name in (ours, theirs))
    return f"| {label} | {fast:.1f} {unit} | {peer:.1f} {unit} | {middle:.2f} ({low:.2f} to {high:.2f}) |"
