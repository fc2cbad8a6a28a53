"""Time and peak memory of calibrated methods on a large checkpoint.

python -m benchmarks.large_calibration MODEL TEXT [--methods gptq awq smoothquant] [--sequences 16] [--context 512]

Each run is a process of its own. Writes a dated table.
"""

import argparse
import math
import pathlib
import tempfile

from benchmarks.dated import PROCESSOR, TODAY, timed
from benchmarks.large_model import run
from refq.files.checkpoint import open_checkpoint
from refq.jobs.calibrated import Calibration, Run
from refq.jobs.calibrated_needs import memory_needed
from refq.jobs.methods.recipe import method_steps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--methods", nargs="+", default=["smoothquant", "awq", "gptq"])
    parser.add_argument("--sequences", type=int, default=16)
    parser.add_argument("--context", type=int, default=512)
    options = parser.parse_args()
    checkpoint = open_checkpoint(options.model)
    weights = sum(math.prod(info.shape) for _, info in checkpoint.tensors.values())
    lines = [
        f"# Calibrating {weights / 1e9:.2f}G weights, {checkpoint.config['num_hidden_layers']} blocks, {TODAY}",
        "",
        f"{PROCESSOR}; {options.sequences} sequences of {options.context} tokens; 4 bits, groups of 128.",
        "",
        "| method | seconds | a block | peak memory, MB | promised |",
        "|---|---:|---:|---:|---:|",
    ]
    for method in options.methods:
        with tempfile.TemporaryDirectory(dir=options.model.parent) as folder:
            asked = ("--method", method, "--calibration", options.text, "--group-size", 128)
            asked += ("--sequences", options.sequences, "--context", options.context)
            seconds, memory = run("quantize", options.model, pathlib.Path(folder) / "out", *asked)
        calibration = Calibration(method_steps(method), None, options.sequences, options.context)
        promised = memory_needed(checkpoint, calibration, Run())
        a_block = seconds / checkpoint.config["num_hidden_layers"]
        lines.append(f"| {method} | {seconds:.0f} | {a_block:.1f} | {memory / 1e6:.0f} | {promised / 1e6:.0f} |")
        print(lines[-1], flush=True)
    path = timed("large-calibration").with_suffix(".md")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
