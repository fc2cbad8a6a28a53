"""Rounding to 4 bits beside llama.cpp's Q4_0, in memory and file to file. Needs `pip install llama-cpp-python gguf`.

python -m benchmarks.quantize_speed [--layers 22] [--threads 1 2] [--rounds 5] [--keep FOLDER]

In memory: float32 rows to packed codes, scales and errors beside ggml_quantize_chunk, which gives no errors. File to
file: `refq quantize` of a model of TinyLlama-1.1B's width beside llama_model_quantize; refq also takes the digest of
every file, checks every weight before it writes, measures what it lost, and brings the result to the disk. How much of
that the digests are is measured by leaving them out. Range searches, which llama.cpp has none of, beside the reference.
"""

import argparse
import contextlib
import ctypes
import functools
import hashlib
import pathlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import llama_cpp
import numpy as np

import refq
import refq_fast
from benchmarks.llama_cpp import llama_quantize, quiet, write_gguf
from benchmarks.measure import interleaved
from benchmarks.report import Comparison, leave
from benchmarks.synthetic_checkpoint import write_checkpoint
from refq.app.engine import load
from refq.jobs.quantize import quantize_model

Q4_0 = 2  # of ggml.h
SIZE = 4096
PEER = "llama-cpp-python"


class Skipped:
    """A digest that looks at nothing."""

    def update(self, data):
        pass

    def hexdigest(self):
        return "0" * 64


def ggml_quantizer(threads):
    """ggml's quantizer of float32 rows to bytes, a share of the rows for each thread."""
    library = ctypes.CDLL(str(next(pathlib.Path(llama_cpp.__file__).parent.glob("lib/*ggml-base.*"))))
    quantize, row_size = library.ggml_quantize_chunk, library.ggml_row_size
    row_size.restype, row_size.argtypes = ctypes.c_size_t, (ctypes.c_int, ctypes.c_int64)
    quantize.restype = ctypes.c_size_t
    quantize.argtypes = (ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3, ctypes.c_void_p)

    pool = ThreadPoolExecutor(threads)

    def run(w):
        packed = np.empty(len(w) * row_size(Q4_0, w.shape[1]), np.uint8)
        share = len(w) // threads
        starts = range(0, share * threads * w.shape[1], share * w.shape[1])
        list(
            pool.map(lambda at: quantize(Q4_0, w.ctypes.data, packed.ctypes.data, at, share, w.shape[1], None), starts)
        )

    return run


def in_memory(threads, rounds):
    """Comparisons of one matrix; the limit is what copying it takes, counted as read and written bytes."""
    w = np.random.default_rng(0).standard_normal((SIZE, SIZE), np.float32)
    peer, copy = ggml_quantizer(threads), np.empty_like(w)
    works = {
        "refq": lambda: refq_fast.rounding.rounded(w, 4, (-8, 7), 32),
        "llama.cpp": lambda: peer(w),
        "copy": lambda: np.copyto(copy, w),
    }
    seconds = interleaved(works, 4 * rounds, threads)
    bandwidth = 2 * w.nbytes / float(np.median(seconds["copy"]))
    moved = 4 + 5 / 8  # bytes a weight: read, and written as codes and a float32 scale for 32
    yield Comparison(
        "in memory, 4096 x 4096", threads, PEER, seconds["refq"], seconds["llama.cpp"], w.size / 1e9, "Gweights", 10,
        bandwidth / moved / 1e9,
    )  # fmt: skip


def searches(threads, rounds):
    """Comparisons of the range rules with the reference, in NumPy."""
    groups = np.random.default_rng(0).standard_normal((2**13, 32), np.float32)
    for name in ("minmax", "percentile", "mse", "sqnr"):
        works = {each.__name__: functools.partial(getattr(each, name), groups, -8, 7) for each in (refq, refq_fast)}
        seconds = interleaved(works, rounds, threads)
        text, weights = f"{name}, groups of 32", groups.size / 1e9
        yield Comparison(text, threads, "numpy", seconds["refq_fast"], seconds["refq"], weights, "Gweights")


def file_to_file(folder, threads, rounds):
    model, weights = folder / "model", (folder / "f16.gguf").stat().st_size / 2e9

    def quantize(digests=True):
        skipped = mock.patch.object(hashlib, "sha256", return_value=Skipped())
        with contextlib.nullcontext() if digests else skipped:
            quantize_model(model, folder / "out", refq_fast, overwrite=True)

    works = {
        "refq": quantize,
        "llama.cpp": lambda: llama_quantize(folder / "f16.gguf", folder / "q4_0.gguf", threads),
        "without digests": lambda: quantize(False),
    }
    seconds = interleaved(works, rounds, threads)
    sizes = (path.stat().st_size for part in ("model", "out") for path in (folder / part).glob("*.safetensors"))
    limit = weights * threads / (sum(sizes) * digest_seconds())
    for name, text, most in (("refq", "", limit), ("without digests", ", digests left out", None)):
        text, theirs = f"file to file{text}", seconds["llama.cpp"]
        yield Comparison(text, threads, PEER, seconds[name], theirs, weights, "Gweights", 5, most)


def digest_seconds():
    """What SHA-256 takes for a byte."""
    data = np.zeros(2**24, np.uint8)
    seconds = interleaved({"sha256": lambda: hashlib.sha256(data)})["sha256"]
    return float(np.median(seconds)) / data.size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=pathlib.Path, help="make the model here and leave it")
    options = parser.parse_args()
    quiet()
    comparisons = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or pathlib.Path(scratch)
        folder.mkdir(exist_ok=True)
        if not (folder / "f16.gguf").exists():
            write_checkpoint(folder / "model", layers=options.layers)
            write_gguf(folder / "model", folder / "f16.gguf")
        for threads in options.threads:
            load("fast", threads)  # as the command does: threads, and freed memory that stays
            comparisons += [*in_memory(threads, options.rounds), *searches(threads, options.rounds)]
            comparisons += file_to_file(folder, threads, options.rounds)
    leave("quantize-speed", "Quantizing to 4 bits beside llama.cpp", NOTES, comparisons, (PEER,))


NOTES = [
    "refq: symmetric, groups of 32, min-max with scales in float32 words; embedding and head are copied.",
    "llama.cpp: Q4_0, the head in Q6_K. The limit in memory is what copying allows: 4.6 bytes a weight move; that of",
    "files is SHA-256 of all bytes that are read and written, by hashlib, on so many threads.",
]

if __name__ == "__main__":
    main()
