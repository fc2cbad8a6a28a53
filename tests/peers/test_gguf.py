"""What gguf-py and llama.cpp make of our GGUF files, and we of theirs.

llama.cpp comes with llama-cpp-python. REFQ_LLAMA_CPP names the folder of its source package that holds
`models/ggml-vocab-llama-spm.gguf` and its fellows.
"""

import ctypes
import json
import os
import pathlib

import numpy as np
import pytest
from tokenizers import Tokenizer

import refq
from benchmarks.synthetic_checkpoint import write_checkpoint
from refq.files.gguf import gguf_header_bytes, open_gguf
from refq.files.gguf_model import gguf_name, heads_of, rows_from_gguf
from refq.files.gguf_tokenizer import tokenizer_json
from refq.files.gguf_types import TENSOR_TYPES, Value
from refq.files.gguf_vocabulary import tokenizer_metadata
from refq.files.gguf_words import WORDS
from refq.jobs.generate import Sampling, generate
from refq.jobs.gguf import load_gguf, open_model, read_tensor
from refq.jobs.gguf_write import write_gguf
from tests.files.gguf_files import WORLD

pytestmark = pytest.mark.peers
# llama_ftype; 15 is Q4_K_M, in which a few layers are Q6_K
READ = {
    "q5_1": 9,
    "q2_k": 10,
    "q3_k_s": 11,
    "q3_k_m": 12,
    "q4_k_s": 14,
    "q5_k_s": 16,
    "q5_k_m": 17,
    "iq4_nl": 25,
    "iq4_xs": 30,
}
THEIRS = {"q4_0": 2, "q4_1": 3, "q5_0": 8, "q8_0": 7, "q4_k": 15, "q6_k": 18}


def test_gguf_py_reads_the_same_numbers(tmp_path):
    gguf = pytest.importorskip("gguf")
    for kind in ("f32", "q4_0", "q6_k"):
        write_gguf(WORLD, tmp_path / f"{kind}-py.gguf", refq, kind)
        check_numbers(gguf, tmp_path / f"{kind}-py.gguf")


def check_numbers(gguf, path):
    """Every tensor as gguf-py gives it, rows put in order by us, and as we read it."""
    theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    file, config, shapes = open_model(path)
    assert theirs.keys() == file.header.tensors.keys()
    for name, shape in shapes.items():
        tensor, heads = theirs[gguf_name(name)], heads_of(name, config)
        x = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        x = x[rows_from_gguf(shape[0], heads)] if heads else x
        np.testing.assert_array_equal(read_tensor(file, name, config, refq), x)


def quantized_by_llama_cpp(source, target, kind):
    """The GGUF file that llama-quantize makes of one of floats; opened."""
    llama_cpp = pytest.importorskip("llama_cpp")
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.nthread = (THEIRS | READ)[kind], 1
    assert llama_cpp.llama_model_quantize(bytes(source), bytes(target), options) == 0
    return open_gguf(target)


def differing(here, there):
    """Of tensors of the same type in two files: how many there are, and how many of their blocks differ."""
    count, blocks = 0, 0
    for name, info in here.header.tensors.items():
        if info.kind == there.header.tensors[name].kind:
            rows = (file.rows(name, 0, int(np.prod(info.shape[:-1]))) for file in (here, there))
            ours, theirs = (raw.reshape(-1, TENSOR_TYPES[info.kind].size) for raw in rows)
            count, blocks = count + 1, blocks + int((ours != theirs).any(axis=1).sum())
    return count, blocks


@pytest.mark.parametrize("kind", THEIRS)
def test_llama_cpp_quantizes_the_world_to_the_same_bytes(tmp_path, plain, kind):
    """Every tensor that both give the same type; llama-quantize takes others for the embedding and some layers."""
    gguf = pytest.importorskip("gguf")
    there = quantized_by_llama_cpp(plain, tmp_path / "theirs.gguf", kind)
    check_numbers(gguf, there.path)
    write_gguf(WORLD, tmp_path / "ours.gguf", refq, kind)
    count, blocks = differing(open_gguf(tmp_path / "ours.gguf"), there)
    assert (count >= 22, blocks) == (True, 0)  # 21 layers less those of other types, and norms


@pytest.mark.parametrize("kind", READ)
def test_what_llama_cpp_alone_writes_is_read(tmp_path, plain, normal, kind):
    """Files of types that we do not write, mixtures with them among these: the numbers of gguf-py; and a verb."""
    gguf = pytest.importorskip("gguf")
    there = quantized_by_llama_cpp(normal / "f32.gguf", tmp_path / "theirs.gguf", kind)
    assert {info.kind for info in there.header.tensors.values()} & {"Q2_K", "Q3_K", "Q5_K", "Q5_1", "IQ4_NL", "IQ4_XS"}
    check_numbers(gguf, there.path)
    model = load_gguf(quantized_by_llama_cpp(plain, tmp_path / "world.gguf", kind).path, refq)
    written = generate(refq, model, [0], model[0]["eos_token_ids"], Sampling(max_tokens=3), lambda token: None).tokens
    assert len(written) == 3


@pytest.fixture(scope="module")
def normal(tmp_path_factory):
    """A model of normal weights with a head of its own, and its GGUF file of floats."""
    folder = tmp_path_factory.mktemp("normal")
    sizes = {"vocab_size": 512, "hidden_size": 256, "intermediate_size": 512}
    write_checkpoint(folder / "model", layers=2, num_attention_heads=8, **sizes)
    write_gguf(folder / "model", folder / "f32.gguf", refq, "f32", "gpt-2")
    return folder


@pytest.mark.parametrize("kind", THEIRS)
def test_llama_cpp_quantizes_normal_weights_to_the_same_bytes(tmp_path, normal, kind):
    """All blocks of all layers; and what docs/exporting.md says of llama-quantize's types of the others."""
    there = quantized_by_llama_cpp(normal / "f32.gguf", tmp_path / "theirs.gguf", kind)
    write_gguf(normal / "model", tmp_path / "ours.gguf", refq, kind, "gpt-2")
    here = open_gguf(tmp_path / "ours.gguf")
    types = {name: (info.kind, there.header.tensors[name].kind) for name, info in here.header.tensors.items()}
    apart = {name: kinds for name, kinds in types.items() if kinds[0] != kinds[1]}
    expected = {"token_embd.weight": ("BF16", kind.upper())}
    expected["output.weight"] = ("BF16", "Q8_0" if kind == "q8_0" else "Q6_K")
    if kind == "q4_k":  # Q4_K_M is a mixture
        more = {name for name in apart if ".attn_v." in name or ".ffn_down." in name}
        assert more
        expected |= dict.fromkeys(more, ("Q4_K", "Q6_K"))
    assert apart == expected
    assert differing(here, there) == (len(types) - len(apart), 0)


@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_llama_cpp_writes_the_same_text(tmp_path, kind):
    llama_cpp = pytest.importorskip("llama_cpp")
    path = tmp_path / f"{kind}-text.gguf"
    write_gguf(WORLD, path, refq, kind)
    model = load_gguf(path, refq)
    ours = generate(refq, model, [0], model[0]["eos_token_ids"], Sampling(max_tokens=60), lambda token: None).tokens
    theirs = llama_cpp.Llama(str(path), n_ctx=128, n_threads=1, verbose=False)
    theirs.eval([0])
    found = []
    while len(found) < len(ours):
        logits = llama_cpp.llama_get_logits_ith(theirs.ctx, -1)
        found.append(int(np.ctypeslib.as_array(ctypes.cast(logits, ctypes.POINTER(ctypes.c_float)), (1024,)).argmax()))
        theirs.eval(found[-1:])
    assert found == list(ours)


def vocabulary(name):
    """Path of a vocabulary of llama.cpp, its metadata, and the texts that it is tested on there."""
    folder = os.environ.get("REFQ_LLAMA_CPP")
    if not folder:
        pytest.skip("REFQ_LLAMA_CPP is not set")
    path = pathlib.Path(folder) / "models" / f"ggml-vocab-llama-{name}.gguf"
    with open(f"{path}.inp", encoding="utf-8", newline="") as file:
        return path, open_gguf(path).header.metadata, file.read().split("\n__ggml_vocab_test__\n")


@pytest.mark.parametrize("name", ["spm", "bpe"])
def test_vocabularies_of_llama_cpp(name):
    path, metadata, texts = vocabulary(name)
    raw = tokenizer_json(metadata, path)
    tokenizer = Tokenizer.from_str(json.dumps(raw))
    expected = pathlib.Path(f"{path}.out").read_text().split("\n")
    for text, line in zip(texts, expected, strict=False):
        assert tokenizer.encode(text, add_special_tokens=False).ids == list(map(int, line.split())), repr(text)
    again = tokenizer_metadata(raw, len(metadata["tokenizer.ggml.tokens"].value))
    for key in again.keys() & metadata.keys():
        assert again[key] == metadata[key], key


@pytest.mark.parametrize("pre", WORDS)
def test_words_are_cut_as_llama_cpp_cuts_them(tmp_path, pre):
    """Llama 3's vocabulary under every `pre` that we know."""
    llama_cpp = pytest.importorskip("llama_cpp")
    _, metadata, texts = vocabulary("bpe")
    metadata = metadata | {"tokenizer.ggml.pre": Value("str", pre)}
    (tmp_path / "x.gguf").write_bytes(gguf_header_bytes(metadata, [])[0])
    theirs = llama_cpp.Llama(str(tmp_path / "x.gguf"), vocab_only=True, verbose=False)
    ours = Tokenizer.from_str(json.dumps(tokenizer_json(metadata, "x.gguf")))
    texts += ["don't DON'T 1234567 x=y;", "camelCase HTTPServer \u00c9COLE", "x/y//z\n/", "\u4ef7\u683c100\u5143"]
    for text in texts:
        assert ours.encode(text).ids == theirs.tokenize(text.encode(), add_bos=True, special=False), repr(text)
