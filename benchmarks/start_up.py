"""How long until the first kernel: import, first call, later calls, and compiling everything anew.

python -m benchmarks.start_up [--rounds 9]

Every round is a process of its own. `warm`: the kernels are in the cache. Seconds are process CPU time, and wall time
beside it. The call overhead is that of a public function on 32 numbers, over thousands of calls; the kernel alone is
the compiled function under it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import numba
import numpy as np

from benchmarks.dated import PROCESSOR, TODAY, timed

WARM = """
import json, time
begun = time.perf_counter(), time.process_time()
marks = {}
def mark(name):
    marks[name] = time.perf_counter() - begun[0], time.process_time() - begun[1]
import numpy as np
mark("import numpy")
import numba
mark("import numba")
import refq_fast
mark("import refq_fast")
from refq_fast.grids.affine import _quantize
x, q = np.ones((2, 16), np.float32), np.empty(32, np.int32)
scale, zero = np.ones((2, 1), np.float32), np.zeros((2, 1), np.int32)
refq_fast.quantize(x, scale, zero, -8, 7)
mark("first kernel, parallel")
codes, steps, zeros = np.zeros((32, 32), np.uint8), np.ones((32, 2), np.float32), np.zeros((32, 2), np.int32)
weight = refq_fast.PackedWeight(codes, steps, zeros, 4)
y = np.ones((1, 64), np.float32)
refq_fast.linear(y, weight)
mark("first int4 product")
row, flat = np.ones(2, np.float32), x.reshape(-1)
def each(call, count=20000):
    started = time.process_time()
    for _ in range(count):
        call()
    return (time.process_time() - started) / count
refq_fast.threads.use(1)
calls = {
    "kernel alone, parallel": each(lambda: _quantize(flat, row, row, np.float32(-8), np.float32(7), q)),
    "linear with a PackedWeight": each(lambda: refq_fast.linear(y, weight), 5000),
    "quantize of 32 numbers": each(lambda: refq_fast.quantize(x, scale, zero, -8, 7), 5000),
}
print(json.dumps({"marks": marks, "calls": calls}))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        cold = [_warm_up(environment), _warm_up(environment, "--all")]
        _process([sys.executable, "-c", WARM], environment)
        runs = [json.loads(_process([sys.executable, "-c", WARM], environment)[0]) for _ in range(options.rounds)]
    found = {"cold": cold, "warm": runs, "cpu": PROCESSOR, "numba": numba.__version__, "numpy": np.__version__}
    path = timed("start-up")
    path.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    text = "\n".join(_lines(found)) + "\n"
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def _process(command, environment):
    """Standard output of a process, and its CPU time in seconds."""
    before = os.times()
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    after = os.times()
    return done.stdout, sum(after[2:4]) - sum(before[2:4])


def _warm_up(environment, *arguments):
    said, seconds = _process([sys.executable, "-m", "refq", "warmup", "--json", *arguments], environment)
    return {"cpu": seconds} | json.loads(said)


def _lines(found):
    yield f"# Start-up, {TODAY}"
    yield ""
    yield f"{found['cpu']}, NumPy {found['numpy']}, Numba {found['numba']}; medians of {len(found['warm'])} processes."
    yield ""
    yield "| until | CPU, s | wall, s |"
    yield "|---|---:|---:|"
    for name in found["warm"][0]["marks"]:
        wall, cpu = (statistics.median(run["marks"][name][i] for run in found["warm"]) for i in (0, 1))
        yield f"| {name} | {cpu:.2f} | {wall:.2f} |"
    yield ""
    yield "| a call | microseconds (quartiles) |"
    yield "|---|---:|"
    for name in found["warm"][0]["calls"]:
        low, middle, high = statistics.quantiles([1e6 * run["calls"][name] for run in found["warm"]], n=4)
        yield f"| {name} | {middle:.1f} ({low:.1f} to {high:.1f}) |"
    yield ""
    yield "| compiled with an empty cache | CPU, s | wall, s | cache, MB |"
    yield "|---|---:|---:|---:|"
    names = "what quantize and generate need", "all the rest", "everything"
    cold = [(each["cpu"], sum(each["seconds"].values()), each["cache_bytes"] / 1e6) for each in found["cold"]]
    cold.append((cold[0][0] + cold[1][0], cold[0][1] + cold[1][1], cold[1][2]))
    for name, (cpu, wall, size) in zip(names, cold, strict=True):
        yield f"| {name} | {cpu:.0f} | {wall:.0f} | {size:.0f} |"


if __name__ == "__main__":
    main()
