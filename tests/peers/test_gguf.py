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
from refq.files.gguf import open_gguf
from refq.files.gguf_model import gguf_name, heads_of, rows_from_gguf
from refq.files.gguf_tokenizer import tokenizer_json
from refq.files.gguf_vocabulary import tokenizer_metadata
from refq.jobs.generate import Sampling, generate
from refq.jobs.gguf import load_gguf, open_model, read_tensor
from refq.jobs.gguf_write import write_gguf

pytestmark = pytest.mark.peers
WORLD = pathlib.Path(refq.__file__).parent / "world" / "model"
# llama_ftype; 15 is Q4_K_M, in which a few layers are Q6_K
THEIRS = {"q4_0": 2, "q4_1": 3, "q8_0": 7, "q4_k": 15, "q6_k": 18}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gguf")


@pytest.fixture(scope="module")
def plain(folder):
    write_gguf(WORLD, folder / "f32.gguf", refq, "f32")
    return folder / "f32.gguf"


def test_gguf_py_reads_the_same_numbers(folder):
    gguf = pytest.importorskip("gguf")
    for kind in ("f32", "q4_0", "q6_k"):
        write_gguf(WORLD, folder / f"{kind}-py.gguf", refq, kind)
        check_numbers(gguf, folder / f"{kind}-py.gguf")


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


@pytest.mark.parametrize("kind", THEIRS)
def test_llama_cpp_quantizes_to_the_same_bytes(folder, plain, kind):
    """Every tensor that both give the same type; llama-quantize takes others for the embedding and some layers."""
    llama_cpp, gguf = pytest.importorskip("llama_cpp"), pytest.importorskip("gguf")
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.nthread = THEIRS[kind], 1
    theirs, ours = folder / f"{kind}-theirs.gguf", folder / f"{kind}-ours.gguf"
    assert llama_cpp.llama_model_quantize(bytes(plain), bytes(theirs), options) == 0
    write_gguf(WORLD, ours, refq, kind)
    check_numbers(gguf, theirs)
    there, here, same = open_gguf(theirs), open_gguf(ours), 0
    for name, info in here.header.tensors.items():
        if info.kind == kind.upper() == there.header.tensors[name].kind:
            rows = [file.rows(name, 0, info.shape[0]) for file in (here, there)]
            np.testing.assert_array_equal(*rows)
            same += 1
    assert same >= 15


@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_llama_cpp_writes_the_same_text(folder, kind):
    llama_cpp = pytest.importorskip("llama_cpp")
    path = folder / f"{kind}-text.gguf"
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


@pytest.mark.parametrize("name", ["spm", "bpe"])
def test_vocabularies_of_llama_cpp(name):
    folder = os.environ.get("REFQ_LLAMA_CPP")
    if not folder:
        pytest.skip("REFQ_LLAMA_CPP is not set")
    path = pathlib.Path(folder) / "models" / f"ggml-vocab-llama-{name}.gguf"
    metadata = open_gguf(path).header.metadata
    raw = tokenizer_json(metadata, path)
    tokenizer = Tokenizer.from_str(json.dumps(raw))
    with open(f"{path}.inp", encoding="utf-8", newline="") as file:
        texts = file.read().split("\n__ggml_vocab_test__\n")
    expected = pathlib.Path(f"{path}.out").read_text().split("\n")
    for text, line in zip(texts, expected, strict=False):
        assert tokenizer.encode(text, add_special_tokens=False).ids == list(map(int, line.split())), repr(text)
    again = tokenizer_metadata(raw, len(metadata["tokenizer.ggml.tokens"].value))
    for key in again.keys() & metadata.keys():
        assert again[key] == metadata[key], key
