"""Activations of 8 bits times a packed weight: refq_fast in integers, in floats, and ONNX Runtime's MatMulNBits.

python -m benchmarks.integer_matmul [--side 4096] [--rounds 9] [--bits 4 8]       (with onnx and onnxruntime)

quantized_linear makes codes of x a token and multiplies integers; the floats are those of linear with the same
PackedWeight, and of quantized_matmul, which reads stored bytes. MatMulNBits with accuracy_level 4 makes codes of 8 bits
too, a scale for each block of x. One thread, process CPU time, interleaved; a ratio is the median of the pairs. Set no
OPENBLAS_CORETYPE: quantized_matmul multiplies with BLAS. Between two calls of one, the others have emptied the caches.
"""

import argparse
import datetime
import importlib.util
import pathlib
import statistics

import numba
import numpy as np

import refq
import refq_fast
from benchmarks.measure import interleaved, ratio
from refq.app.info import cpu_name
from refq_fast.simd_integers import HAS_DOTS

RESULTS = pathlib.Path(__file__).parent / "results"
GROUPS, TOKENS = (32, 64, 128, None), (1, 16, 128, 512)
FLOATS, STORED, FOREIGN = "linear", "quantized_matmul", "MatMulNBits"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 8])
    options = parser.parse_args()
    numba.set_num_threads(1)
    dots = "with" if HAS_DOTS else "without"
    lines = [HEADING.format(options.side, cpu_name(), dots, np.__version__, numba.__version__, _foreign_version())]
    for bits in options.bits:
        for group in GROUPS:
            weight = stored(options.side, bits, group or options.side)
            lines += [line(weight, group, tokens, options.rounds) for tokens in TOKENS]
    text = "\n".join(lines) + "\n"
    print(text)
    (RESULTS / f"{datetime.date.today()}-integer-matmul.md").write_text(text)


HEADING = """# Products of codes, {0} inputs and outputs, one thread

{1}, {2} dot products of bytes; NumPy {3}, Numba {4}, ONNX Runtime {5}.
Activations of 8 bits. Billions of operations (two a product of codes) a second of CPU time, medians of interleaved
rounds; last columns, times as fast: of the pairwise ratios, with quartiles. A group is what shares a scale.

| bits | group | tokens | quantized_linear | linear | quantized_matmul | ONNX | to linear | to matmul | to ONNX |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


def stored(side, bits, group):
    """Arguments of PackedWeight: random codes, float16-exact scales, no zero points."""
    random = np.random.default_rng(0)
    q = random.integers(*refq.integer_range(bits), (side, side), endpoint=True, dtype=np.int32)
    scale = random.uniform(0.01, 0.1, (side, side // group)).astype(np.float16).astype(np.float32)
    return refq_fast.pack_codes(q, bits), scale, np.zeros(scale.shape, np.int32), bits


def line(weight, group, tokens, rounds):
    """A row of the table."""
    x = np.random.default_rng(1).standard_normal((tokens, weight[0].shape[0])).astype(np.float32)
    packed = refq_fast.PackedWeight(*weight)
    works = {
        "ours": lambda: packed.quantized_linear(x, 8),
        FLOATS: lambda: refq_fast.linear(x, packed),
        STORED: lambda: refq_fast.quantized_matmul(x, *weight),
    }
    foreign = _foreign(*weight) if group and _foreign_version() != "none" else None
    if foreign is not None:
        works[FOREIGN] = lambda: foreign.run(None, {"x": x})[0]
    exact = works[STORED]()
    for name, work in works.items():  # all compute the same, up to 8 bits of x
        assert np.linalg.norm(work() - exact) < 0.02 * np.linalg.norm(exact), name
    seconds = interleaved(works, rounds)
    amount = 2e-9 * tokens * weight[0].shape[0] ** 2
    speeds = [f"{amount / statistics.median(seconds[name]):.0f}" if name in seconds else "" for name in NAMES]
    ratios = [
        "{:.1f} ({:.1f} to {:.1f})".format(*ratio(seconds["ours"], seconds[n])) if n in seconds else ""
        for n in NAMES[1:]
    ]
    return f"| {weight[3]} | {group or 'row'} | {tokens} | {' | '.join(speeds + ratios)} |"


NAMES = ("ours", FLOATS, STORED, FOREIGN)


def _foreign_version():
    if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnx") is None:
        return "none"
    return importlib.import_module("onnxruntime").__version__


def _foreign(packed, scale, _, bits):
    """A session of one MatMulNBits on the same weight, or None where ONNX Runtime has none of these bits."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    out, groups = scale.shape
    size = packed.shape[1] * 8 // bits // groups
    codes = (packed ^ np.uint8(0x88 if bits == 4 else 0x80)).reshape(out, groups, -1)  # code + 2**(bits - 1)
    constants = [numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(scale.reshape(-1), "scale")]
    settings = {"K": groups * size, "N": out, "bits": bits, "block_size": size, "accuracy_level": 4}
    node = helper.make_node("MatMulNBits", ["x", "codes", "scale"], ["y"], domain="com.microsoft", **settings)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tokens", width])
        for name, width in (("x", groups * size), ("y", out))
    ]
    graph = helper.make_graph([node], "product", ends[:1], ends[1:], constants)
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=8).SerializeToString()
    one = onnxruntime.SessionOptions()
    one.intra_op_num_threads = one.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model, one, providers=["CPUExecutionProvider"])
    except Exception as error:  # what it raises has no public class
        print(f"ONNX Runtime, {bits} bits: {error}")
        return None


if __name__ == "__main__":
    main()
