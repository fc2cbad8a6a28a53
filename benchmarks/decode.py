"""Decoding beside llama.cpp: the same weights as its Q4_0, one token after the other. `pip install '.[bench]'`

python -m benchmarks.decode [--threads 1 2] [--keep FOLDER] [--rounds 15]

Models of random weights: TinyLlama's width with 4 layers, and 15M parameters, whose head is tied. llama.cpp quantizes
what linear layers read to 8 bits, and its head to 6; refq does what its options say. The limit is what one core, or
both, read of an array as large as what a token reads of the weights.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import refq_fast
from benchmarks.llama_cpp import LlamaCpp, parser, prepare, quiet
from benchmarks.measure import interleaved, ratio
from benchmarks.reading import reading
from benchmarks.report import Comparison, leave
from refq.jobs.model import operations
from refq.jobs.running import open_model

PEER = "llama-cpp-python"
SMALL = {"hidden_size": 288, "intermediate_size": 768, "num_attention_heads": 6, "num_key_value_heads": 6}
SMALL |= {"tie_word_embeddings": True}
MODELS = {"2048 wide": (4, {}, 8, 1.4), "15M": (6, SMALL, 64, 2.5)}  # layers, sizes, tokens a round, goal
RUNS = {  # activations, bits of the head
    "float32, float head": ("off", None),
    "float32, 8-bit head": ("off", 8),
    "15 bits, 8-bit head": (15, 8),
    "8 bits, 8-bit head": (8, 8),
    "8 bits, 4-bit head": (8, 4),
}
COLD = """
import sys, time
import numpy as np, refq_fast
from refq.jobs.model import operations
from refq.jobs.running import open_model
config, params = open_model(sys.argv[1], refq_fast, 8, 8)
decoder, started = refq_fast.LlamaDecoder(params, config, operations(refq_fast, config)), time.process_time()
decoder.feed([1])
page = time.process_time()
decoder.feed([1])
print(page - started, time.process_time() - page)
"""


class Decoder:
    """LlamaDecoder of a stored model, with the first position in its cache."""

    def __init__(self, folder, activations, head_bits, cache_bits=None):
        config, params = open_model(folder, refq_fast, activations, head_bits)
        self.decoder = refq_fast.LlamaDecoder(params, config, operations(refq_fast, config), cache_bits)
        self.prefill([300])
        self.decoder.feed([301])

    def prefill(self, tokens):
        """A prompt, 512 tokens at a time; what was known is forgotten."""
        self.decoder.page.cache = self.decoder.state = None
        for start in range(0, len(tokens), 512):
            self.decoder.feed(tokens[start : start + 512])

    def decode(self, position, count):
        if self.decoder.state is None:
            self.decoder.feed([300])
        self.decoder.state.length = position
        for i in range(count):
            self.decoder.feed([301 + i])

    def weights(self):
        """Bytes that a token reads."""
        arrays = {id(array): array.nbytes for held in self.decoder.state.table.held for array in held}
        return sum(arrays.values())

    def cached(self, positions):
        """Bytes of keys, values and their scales, of so many positions."""
        state = self.decoder.state
        return sum(part.nbytes for part in state.cache) * positions // len(state.angles)


def beside(work, ours, peer, position, count, rounds, threads, goal=None):
    """The Comparison of both for so many tokens from a position on."""
    size = ours.weights() + ours.cached(position)
    read, amount = reading(size, threads)
    works = {"refq": lambda: ours.decode(position, count), "peer": lambda: peer.decode(position, count), "read": read}
    seconds = interleaved(works, rounds, threads)
    limit = amount / statistics.median(seconds["read"]) / size
    return Comparison(work, threads, PEER, seconds["refq"], seconds["peer"], count, "tokens", goal, limit)


def compare(folder, name, threads, rounds):
    """A Comparison for each of RUNS."""
    _, _, count, goal = MODELS[name]
    peer = LlamaCpp(folder / "q4_0.gguf", threads)
    peer.prefill([300])
    for label, run in RUNS.items():
        ours = Decoder(folder / "refq-4bit", *run)
        goal_of = goal if label.startswith("8 bits") else None
        yield beside(f"{name}, {label}", ours, peer, 1, count, rounds, threads, goal_of)


def compile_seconds(folder):
    """Seconds of the first tokens, page and compiled call, in a new process: with nothing compiled, then again."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", COLD, folder], check=True, capture_output=True, text=True, env=environment
            )
            yield [float(value) for value in done.stdout.split()]


def main():
    options = parser(__doc__, 15).parse_args()
    quiet()
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or pathlib.Path(scratch)
        for name, (layers, sizes, *_) in MODELS.items():
            prepare(folder / name.replace(" ", "-"), layers, sizes)
        for threads in options.threads:
            refq_fast.threads.use(threads)
            for name in MODELS:
                for each in compare(folder / name.replace(" ", "-"), name, threads, options.rounds):
                    print(each.work, threads, "{:.2f} ({:.2f} to {:.2f})".format(*ratio(each.ours, each.theirs)))
                    found.append(each)
        cold, warm = compile_seconds(folder / "15M" / "refq-4bit")
    notes = [
        "refq: 4 bits in groups of 32; activations and head as the row says. llama.cpp: Q4_0, 8 bits, head in Q6_K.",
        "The limit: what is read of an array of the size of what a token reads, measured between the two.",
        f"First tokens in a new process: {sum(cold):.1f} s of CPU time with nothing compiled, {cold[1]:.1f} of them "
        f"for the compiled call; {sum(warm):.1f} s afterwards.",
    ]
    leave("decode", "Decoding, refq beside llama.cpp", notes, found, [PEER])


if __name__ == "__main__":
    main()
