"""Time, speed and peak memory of quantizing a large checkpoint: python -m benchmarks.large_model MODEL.

Each run is a process of its own, so that its peak memory is its own. Writes a dated table.
"""

import argparse
import itertools
import math
import os
import pathlib
import sys
import tempfile
import time

from benchmarks.dated import PROCESSOR, TODAY, timed
from refq.files.checkpoint import open_checkpoint
from refq.jobs.plan import memory_bound

GRIDS = (("32", "minmax"), ("channel", "minmax"), ("32", "mse"))


def run(*arguments):
    """Seconds and peak memory in bytes (ru_maxrss) of one `refq` process."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "refq", *map(str, arguments)]
    quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    process = os.posix_spawn(sys.executable, command, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"refq {' '.join(map(str, arguments))} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    options = parser.parse_args()
    checkpoint = open_checkpoint(options.model)
    weights = sum(math.prod(info.shape) for _, info in checkpoint.tensors.values())
    size = sum(map(os.path.getsize, checkpoint.files))
    bound = memory_bound(checkpoint)
    lines = [
        f"# Quantizing {weights / 1e9:.2f}G weights, {size / 1e9:.2f} GB in {len(checkpoint.files)} files, {TODAY}",
        "",
        f"{PROCESSOR}. GB/s of the input as it is stored. The promised memory is {bound / 1e6:.0f} MB.",
        "",
        "| group | range | threads | seconds | GB/s | peak memory, MB |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for (group, rule), threads in itertools.product(GRIDS, sorted({1, os.cpu_count()})):
        with tempfile.TemporaryDirectory(dir=options.model.parent) as folder:
            grid = ("--group-size", group, "--range", rule, "--threads", threads)
            seconds, memory = run("quantize", options.model, pathlib.Path(folder) / "out", *grid)
        row = f"| {group} | {rule} | {threads} | {seconds:.1f} | {size / seconds / 1e9:.2f} | {memory / 1e6:.0f} |"
        lines.append(row)
        print(row, flush=True)
        if memory > bound:
            raise SystemExit(f"{memory} bytes of memory; at most {bound} are promised")
    path = timed("large-model").with_suffix(".md")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
