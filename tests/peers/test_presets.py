"""Do the programs themselves give the grids of the presets, and the codes that the golden comments name?

compressed-tensors, AIMET, HQQ, gguf-py and libggml are run; GPTQ and AWQ, which do not install beside a current torch,
are their formulas in torch operations. libggml comes with llama-cpp-python, or REFQ_LIBGGML names it.
"""

import ast
import ctypes
import importlib
import importlib.util
import os
import pathlib
import re

import numpy as np
import pytest

import refq
from refq.jobs import golden

pytestmark = pytest.mark.peers


def compressed_tensors(groups, bits, symmetric):
    torch, tool = pytest.importorskip("torch"), pytest.importorskip("compressed_tensors.quantization")
    utils = pytest.importorskip("compressed_tensors.quantization.utils")
    forward = pytest.importorskip("compressed_tensors.quantization.lifecycle.forward")
    x, args = torch.from_numpy(groups), tool.QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy="channel")
    scale, zero_point = utils.calculate_qparams(x.amin(-1, keepdim=True), x.amax(-1, keepdim=True), args)
    return scale.numpy(), zero_point.numpy(), forward.quantize(x, scale, zero_point, args).numpy()


def aimet(groups, bits, symmetric, gamma=None):
    torch = pytest.importorskip("torch")
    affine = pytest.importorskip("aimet_torch.quantization.affine", exc_type=ImportError)
    shape, search = (len(groups), 1), importlib.import_module("aimet_torch.quantization.encoding_analyzer")
    analyzer = search.SqnrEncodingAnalyzer(shape, gamma=gamma) if gamma else search.MinMaxEncodingAnalyzer(shape)
    quantizer = affine.Quantize(shape, bitwidth=bits, symmetric=symmetric, encoding_analyzer=analyzer)
    with quantizer.compute_encodings():
        quantizer(torch.from_numpy(groups))
    codes = quantizer(torch.from_numpy(groups)).detach().numpy()
    return quantizer.get_scale().detach().numpy(), -quantizer.get_offset().detach().numpy(), codes


def hqq(groups):
    torch, tool = pytest.importorskip("torch"), pytest.importorskip("hqq.core.quantize")
    options = {"optimize": False, "round_zero": True, "axis": 1, "bitpack": False, "device": "cpu"}
    codes, meta = tool.Quantizer.quantize(torch.from_numpy(groups), nbits=4, group_size=groups.shape[1], **options)
    return meta["scale"].numpy(), meta["zero"].numpy(), codes.numpy()


def gptq(groups, bits, symmetric):
    torch = pytest.importorskip("torch")
    x, steps = torch.from_numpy(groups), 2**bits - 1
    lo, hi = x.amin(-1, keepdim=True).clamp(max=0), x.amax(-1, keepdim=True).clamp(min=0)
    if symmetric:
        hi = torch.maximum(lo.abs(), hi)
        lo = torch.where(lo < 0, -hi, lo)
    flat = (lo == 0) & (hi == 0)
    lo, hi = lo.masked_fill(flat, -1), hi.masked_fill(flat, 1)
    scale = (hi - lo) / steps
    zero_point = torch.full_like(scale, (steps + 1) / 2) if symmetric else torch.round(-lo / scale)
    return scale.numpy(), zero_point.numpy(), torch.clamp(torch.round(x / scale) + zero_point, 0, steps).numpy()


def awq(groups, bits, symmetric):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(groups)
    qmin, qmax = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)
    if symmetric:
        scale = x.abs().amax(-1, keepdim=True).clamp(min=1e-5) / qmax
        zero_point = torch.zeros_like(scale)
    else:
        scale = (x.amax(-1, keepdim=True) - x.amin(-1, keepdim=True)).clamp(min=1e-5) / qmax
        zero_point = (-torch.round(x.amin(-1, keepdim=True) / scale)).clamp(qmin, qmax)
    return scale.numpy(), zero_point.numpy(), torch.clamp(torch.round(x / scale) + zero_point, qmin, qmax).numpy()


def ggml(name):
    """The block encoder of gguf-py, and libggml's where there is one; groups are filled up with their first value."""

    def encode(groups):
        gguf, library = pytest.importorskip("gguf"), _libggml()
        length = groups.shape[1]
        x = np.concatenate([groups, np.repeat(groups[:, :1], 32 - length, axis=1)], axis=1)
        with np.errstate(all="ignore"):
            blocks = gguf.quants.quantize(x, gguf.GGMLQuantizationType[name.upper()])
        if library:
            same = np.zeros_like(blocks)
            pointers = (ctypes.c_void_p(a.ctypes.data) for a in (x, same))
            getattr(library, f"quantize_row_{name}_ref")(*pointers, ctypes.c_int64(x.size))
            np.testing.assert_array_equal(same, blocks)
        heads = 2 if name == "q4_1" else 1
        head, body = blocks[:, : 2 * heads].copy().view(np.float16), blocks[:, 2 * heads :]
        codes = body.view(np.int8) if name == "q8_0" else np.concatenate([body & 15, body >> 4], axis=1)
        return head[:, :1], head[:, 1:] if heads == 2 else None, codes[:, :length]

    return encode


PRESETS = {
    "aimet_range": aimet,
    "aimet_sqnr_range": aimet,
    "awq_range": awq,
    "compressed_tensors_range": compressed_tensors,
    "gptq_range": gptq,
    "hqq_range": hqq,
    "q4_0_range": ggml("q4_0"),
    "q4_1_range": ggml("q4_1"),
    "q8_0_range": ggml("q8_0"),
}
CASES = [
    pytest.param(name, case, id=f"{name}-{case['id']}")
    for name in PRESETS
    for case in golden.load(name)
    if "returns" in case
]
CODES = [pytest.param(case, id=case["id"]) for case in golden.load("quantize") if "ForeignCodes" in case["flags"]]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_program_gives_this_grid(name, case):
    scale, point, _ = PRESETS[name](**golden.decode(case["args"]))
    expected = golden.decode(case["returns"])
    np.testing.assert_array_equal(scale, expected[0].astype(scale.dtype))  # ggml shows its scale in float16 alone
    if point is not None:
        np.testing.assert_array_equal(point, expected[1].astype(point.dtype))


@pytest.mark.parametrize("case", CODES)
def test_the_program_gives_the_codes_of_the_comment(case):
    preset, codes = re.fullmatch(r"scale and zero point of (\w+);.* gives (\[.*\])", case["comment"]).groups()
    options = {"bits": 4, "symmetric": False} if preset == "compressed_tensors_range" else {}
    args = golden.decode(case["args"])
    scale, _, found = PRESETS[preset](args["x"][None], **options)
    np.testing.assert_array_equal(scale[0], args["scale"].astype(scale.dtype))
    assert found[0].tolist() == ast.literal_eval(codes)
    same = found[0].tolist() == case["returns"]["data"]
    assert same == case["id"].endswith("-agrees")


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("name", ["aimet_range", "awq_range", "gptq_range"])
def test_quantize_gives_their_codes_everywhere(name, symmetric):
    random = np.random.default_rng(0)
    groups = (random.integers(-16, 16, (500, 8)) / 2).astype(np.float32)
    groups[:250] = random.standard_normal((250, 8))
    groups[::5] = np.abs(groups[::5])
    for bits in range(2, 9):
        grid = getattr(refq, name)(groups, bits, symmetric)
        np.testing.assert_array_equal(refq.quantize(groups, *grid), PRESETS[name](groups, bits, symmetric)[2])


def _libggml():
    path = os.environ.get("REFQ_LIBGGML")
    package = importlib.util.find_spec("llama_cpp")
    if not path and package:
        path = pathlib.Path(package.origin).parent / "lib" / "libggml-base.so"
    return ctypes.CDLL(str(path)) if path else None
