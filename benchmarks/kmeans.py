"""kmeans_optimal beside scikit-learn's KMeans: 16 entries, 16 million weights. Needs `pip install '.[bench]'`.

python -m benchmarks.kmeans [--rounds 3] [--laws normal student]

Both on one thread, process CPU time, codebook and index. How far the squared error is above the optimum is bounded by
the partition of 2**20 finer bins, which bounds the optimum from below (SPEC.md, kmeans_optimal).
"""

import argparse
import statistics
import time

import numba
import numpy as np
import sklearn
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

import refq_fast
from benchmarks.dated import PROCESSOR, timed
from refq_fast.partition import first_bins

ENTRIES, SIZE, EXACT = 16, 2**24, 2**20
LAWS = {"normal": lambda r, n: r.standard_normal(n), "student": lambda r, n: r.standard_t(4, n)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--laws", nargs="+", choices=LAWS, default=list(LAWS))
    options = parser.parse_args()
    refq_fast.threads.use(1)
    lines = [HEADING.format(PROCESSOR, np.__version__, numba.__version__, sklearn.__version__)]
    with threadpool_limits(1):
        for law in options.laws:
            refq_fast.kmeans_optimal(
                LAWS[law](np.random.default_rng(1), (1, SIZE)).astype(np.float32), ENTRIES
            )  # compile
            lines += [line(law, SIZE, options.rounds), line(law, EXACT, options.rounds)]
    text = "\n".join(lines) + "\n"
    print(text)
    timed("kmeans").with_suffix(".md").write_text(text)


HEADING = f"""# k-means of {ENTRIES} entries, codebook and index, beside scikit-learn

{{}}, NumPy {{}}, Numba {{}}, scikit-learn {{}}: `KMeans({ENTRIES}, n_init=1, max_iter=10)`, seeds 0, 1 ...
Process CPU time on one thread, median of interleaved rounds; refq_fast runs 5 times a round. Squared error over the sum
of squares. "Above the optimum": at most, by the partition of 2**20 bins; 1,048,576 weights are such bins themselves.

| weights | refq_fast, ms | scikit-learn, s | times faster | error, refq_fast | error, sklearn | above the optimum |
|---|---:|---:|---:|---:|---:|---:|"""


def line(law, size, rounds):
    """A row of the table."""
    x = LAWS[law](np.random.default_rng(0), size).astype(np.float32)
    whole, ours, theirs, worst, best = (x.astype(np.float64) ** 2).sum(), [], [], 0, np.inf
    for seed in range(rounds):
        for _ in range(5):
            start = time.process_time()
            codebook, index = refq_fast.kmeans_optimal(x[None], ENTRIES)
            ours.append(time.process_time() - start)
        worst = max(worst, squared_error(x, codebook[0], index[0]))
        start = time.process_time()
        model = KMeans(ENTRIES, n_init=1, max_iter=10, random_state=seed).fit(x[:, None])
        theirs.append(time.process_time() - start)
        best = min(best, squared_error(x, model.cluster_centers_[:, 0], model.labels_))
    fast, slow = statistics.median(ours), statistics.median(theirs)
    return (
        f"| {size:,} {law} | {fast * 1e3:.0f} | {slow:.2f} | {slow / fast:.0f} "
        f"| {worst / whole:.7f} | {best / whole:.7f} | {worst / least_possible(x) - 1:.1e} |"
    )


def squared_error(x, codebook, index):
    """In float64, a piece at a time."""
    pieces = np.array_split(np.arange(x.size), 16)
    return sum(((x[p].astype(np.float64) - codebook[index[p]]) ** 2).sum() for p in pieces)


def least_possible(x):
    """A number that no codebook's squared error is below: sqrt(OPT) >= sqrt(error) - 2 * sqrt(V) for 2**20 bins."""
    v = np.sort(x + np.float32(0))
    u = v.view(np.uint32)
    key, shift = np.where(u >> 31, ~u, u | np.uint32(2**31)), 0
    while np.count_nonzero(np.diff(key >> shift)) >= EXACT:
        shift += 1
    starts = np.flatnonzero(np.diff(key >> shift, prepend=~key[0] >> shift))
    wide = v.astype(np.float64)
    count = np.diff(starts, append=v.size).astype(np.float64)
    total, squares = np.add.reduceat(wide, starts), np.add.reduceat(wide * wide, starts)
    inside = np.sort(np.maximum(squares - total**2 / count, 0))[1 - ENTRIES :].sum() if shift else 0
    first = first_bins(count, total / count, ENTRIES)
    cut = np.append(starts, v.size)[first]
    error = sum(((wide[a:b] - wide[a:b].mean()) ** 2).sum() for a, b in zip(cut[:-1], cut[1:], strict=True))
    return (np.sqrt(error) - 2 * np.sqrt(inside)) ** 2


if __name__ == "__main__":
    main()
