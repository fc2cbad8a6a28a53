"""How the speed of decoding grows with size, context, threads and groups, under the roof of the machine.

python -m benchmarks.growth [--keep FOLDER] [--rounds 5] [--largest 1.1B]      `pip install '.[bench,report]'`

Random weights at 4 bits, 8-bit activations and head. The roof is the bytes that a token reads, at the speed with which
as many bytes are read of an array; llama.cpp has the same weights as Q4_0.
"""

import pathlib
import tempfile

import numpy as np

import refq_fast
from benchmarks.dated import timed
from benchmarks.decode import PEER, SMALL, Decoder, beside
from benchmarks.llama_cpp import LlamaCpp, parser, prepare, quiet
from benchmarks.report import growth, leave, plotted
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model


def sizes(hidden, intermediate, heads, vocabulary=32000, tied=True):
    names = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    found = dict(zip(names, (hidden, intermediate, heads, heads), strict=True))
    return found | {"vocab_size": vocabulary, "tie_word_embeddings": tied, "max_position_embeddings": 8192}


MODELS = {  # weights, layers, sizes
    "1M": (1.06e6, 4, sizes(128, 352, 4, 2048)),
    "4M": (4.0e6, 6, sizes(192, 512, 6, 7680)),
    "15M": (15.2e6, 6, SMALL | {"max_position_embeddings": 8192}),
    "42M": (42e6, 8, sizes(512, 1376, 8)),
    "110M": (110e6, 12, sizes(768, 2048, 12)),
    "340M": (340e6, 24, sizes(1024, 2816, 16)),
    "1.1B": (1100e6, 22, {}),
}
CONTEXTS = (128, 512, 1024, 2048, 4096)


def by_size(folder, names, threads, rounds):
    """Comparisons of models of growing size; groups of 32 beside llama.cpp, and a grid a channel."""
    for name in names:
        weights, layers, of = MODELS[name]
        prepare(folder / name, layers, of)
        channel = folder / name / "refq-channel"
        if not channel.exists():
            quantize_model(folder / name / "model", channel, refq_fast, Options(group_size="channel"))
        count = int(max(4, min(64, 1e9 / weights)))
        peer = LlamaCpp(folder / name / "q4_0.gguf", threads)
        peer.prefill([300])
        for groups, stored in (("32", "refq-4bit"), ("channel", "refq-channel")):
            ours = Decoder(folder / name / stored, 8, 8)
            yield beside(f"{name}, groups {groups}", ours, peer, 1, count, rounds, threads)


def by_context(folder, rounds):
    """Comparisons of the 15M model at growing positions, one thread; with a cache of numbers and one of codes."""
    peer = LlamaCpp(folder / "q4_0.gguf", 1, CONTEXTS[-1] + 64)
    tokens = (np.arange(CONTEXTS[-1]) % 30000 + 300).tolist()
    ours = {label: Decoder(folder / "refq-4bit", 8, 8, bits) for label, bits in (("float32", None), ("8-bit", 8))}
    for decoder in (peer, *ours.values()):
        decoder.prefill(tokens)
    for position in reversed(CONTEXTS):  # what stands behind a position is forgotten there
        for label, decoder in ours.items():
            decoder.decode(position, 1)
            yield beside(f"15M at position {position}, {label} cache", decoder, peer, position, 16, rounds, 1)


def speeds(found, label, theirs=False):
    """Tokens a second of comparisons whose work ends with a label."""
    of = [each for each in found if each.work.endswith(label)]
    return [each.amount / np.median(each.theirs if theirs else each.ours) for each in of]


def draw_sizes(found, names):
    panels = {}
    for threads in sorted({each.threads for each in found}):
        part = [each for each in found if each.threads == threads]
        curves = {f"refq, groups {groups}": speeds(part, f"groups {groups}") for groups in ("32", "channel")}
        curves["llama.cpp"] = speeds(part, "groups 32", theirs=True)
        roofs = {"roof, groups 32": [each.limit for each in part if each.work.endswith("groups 32")]}
        panels[f"{threads} thread{'s' * (threads > 1)}"] = curves, roofs
    sizes = {name: MODELS[name][0] for name in names}
    return growth("Decoding over the size of the model", ("weights", "tokens a second"), sizes, panels)


def draw_contexts(found):
    kinds = [f"{kind} cache" for kind in ("float32", "8-bit")]
    curves = {f"refq, {kind}": speeds(found, kind) for kind in kinds}
    curves["llama.cpp"] = speeds(found, kinds[0], theirs=True)
    roofs = {f"roof, {kind}": [each.limit for each in found if each.work.endswith(kind)] for kind in kinds}
    sizes = {str(place): place for place in CONTEXTS[::-1]}
    title = "Decoding over the length of the context, 15M weights"
    return growth(title, ("position", "tokens a second"), sizes, {"1 thread": (curves, roofs)})


def main():
    arguments = parser(__doc__, 5)
    arguments.add_argument("--largest", choices=MODELS, default="1.1B")
    options = arguments.parse_args()
    quiet()
    names = list(MODELS)[: list(MODELS).index(options.largest) + 1]
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or pathlib.Path(scratch)
        for threads in options.threads:
            refq_fast.threads.use(threads)
            for each in by_size(folder, names, threads, options.rounds):
                print(each.work, threads, *(f"{value[-1]:.0f}" for value in (speeds([each], ""), [each.limit])))
                found.append(each)
        refq_fast.threads.use(1)
        prepare(folder / "15M", *MODELS["15M"][1:])
        grown = list(by_context(folder / "15M", options.rounds))
    notes = [__doc__.split("\n\n")[2].replace("\n", " ")]
    leave("growth", "Decoding: growth with size and context", notes, found + grown, [PEER])
    plotted(timed("growth-sizes").with_suffix(".png"), lambda: draw_sizes(found, names))
    plotted(timed("growth-contexts").with_suffix(".png"), lambda: draw_contexts(grown))


if __name__ == "__main__":
    main()
