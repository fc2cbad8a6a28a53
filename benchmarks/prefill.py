"""Prompts beside llama.cpp: the same weights as its Q4_0, all tokens of a prompt at once. `pip install '.[bench]'`

python -m benchmarks.prefill [--threads 1 2] [--keep FOLDER] [--rounds 7]

A model of TinyLlama's width with 4 layers and random weights. llama.cpp quantizes what linear layers read to 8 bits;
refq does where the row says so, and otherwise takes float32 as its definition says.
"""

import functools
import pathlib
import tempfile

import refq_fast
from benchmarks.decode import Decoder
from benchmarks.llama_cpp import LlamaCpp, parser, prepare, quiet
from benchmarks.measure import interleaved
from benchmarks.report import Comparison, leave

RUNS = {"float32": ("off", None), "15 bits": (15, 8), "8 bits": (8, 8)}  # activations, bits of the head
LENGTHS = (16, 128, 512)


def compare(folder, threads, rounds):
    """A Comparison for each of RUNS and LENGTHS."""
    peer = LlamaCpp(folder / "q4_0.gguf", threads)
    for label, run in RUNS.items():
        ours = Decoder(folder / "refq-4bit", *run)
        for length in LENGTHS:
            prompt = list(range(300, 300 + length))
            works = {side: functools.partial(side.prefill, prompt) for side in (ours, peer)}
            seconds = interleaved(works, rounds, threads).values()
            yield Comparison(f"{length} tokens, {label}", threads, "llama-cpp-python", *seconds, length, "tokens")


def main():
    options = parser(__doc__, 7).parse_args()
    quiet()
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.keep or pathlib.Path(scratch)) / "2048-wide"
        prepare(folder, 4)
        for threads in options.threads:
            refq_fast.threads.use(threads)
            found += compare(folder, threads, options.rounds)
    notes = [
        "refq: 4 bits in groups of 32, the head in 8 bits where activations are codes.",
        "llama.cpp: Q4_0, 8 bits, head in Q6_K.",
    ]
    leave("prefill", "Prompts, refq beside llama.cpp", notes, found, ["llama-cpp-python"])


if __name__ == "__main__":
    main()
