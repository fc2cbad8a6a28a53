"""llama.cpp as a peer: the same weights in its files, and its low-level interface. Needs `pip install '.[bench]'`."""

import argparse
import ctypes
import os
import pathlib

import gguf
import llama_cpp
import numpy as np

import refq_fast
from benchmarks.synthetic_checkpoint import write_checkpoint
from refq.files.checkpoint import open_checkpoint
from refq.jobs.quantize import quantize_model

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTER = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def gguf_name(name):
    """Hugging Face's tensor name in GGUF."""
    if name in OUTER:
        return OUTER[name]
    layer, _, rest = name.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def rotary_rows(weight, heads):
    """Rows of q and k from half-split to interleaved rotary order."""
    out, width = weight.shape
    return weight.reshape(heads, 2, out // heads // 2, width).swapaxes(1, 2).reshape(out, width)


def write_gguf(model, path):
    """The same weights as a GGUF file: matrices float16, norms float32."""
    checkpoint = open_checkpoint(model)
    c = checkpoint.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    writer.add_block_count(c["num_hidden_layers"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(c["num_attention_heads"])
    writer.add_head_count_kv(c["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(c["rms_norm_eps"])
    writer.add_rope_dimension_count(c["head_dim"])
    writer.add_vocab_size(c["vocab_size"])
    writer.add_file_type(1)
    words = c["vocab_size"]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([b"<unk>", b"<s>", b"</s>", *(b"t%d" % i for i in range(words - 3))])
    writer.add_token_scores([0.0] * words)
    writer.add_token_types([2, 3, 3] + [1] * (words - 3))
    for name in checkpoint.tensors:
        array = np.asarray(checkpoint.read(name), np.float32)
        if name.endswith("q_proj.weight"):
            array = rotary_rows(array, c["num_attention_heads"])
        elif name.endswith("k_proj.weight"):
            array = rotary_rows(array, c["num_key_value_heads"])
        writer.add_tensor(gguf_name(name), array if array.ndim == 1 else array.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaCpp:
    """llama.cpp's low-level interface: a model, a context, one batch."""

    def __init__(self, path, threads, positions=1024):
        parameters = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch = positions, 512, 512
        options.n_threads = options.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        self.batch = llama_cpp.llama_batch_init(512, 0, 1)

    def run(self, tokens, position):
        """Logits of the last of `tokens`, which stand at `position` and after."""
        self.batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            self.batch.token[i], self.batch.pos[i], self.batch.n_seq_id[i] = token, position + i, 1
            self.batch.seq_id[i][0], self.batch.logits[i] = 0, int(i == len(tokens) - 1)
        if llama_cpp.llama_decode(self.context, self.batch):
            raise RuntimeError("llama_decode failed")
        llama_cpp.llama_synchronize(self.context)

    def prefill(self, tokens):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        for start in range(0, len(tokens), 512):
            self.run(tokens[start : start + 512], start)

    def decode(self, position, count):
        """One token after the other, from a position on; what stood there is forgotten."""
        llama_cpp.llama_memory_seq_rm(llama_cpp.llama_get_memory(self.context), 0, position, -1)
        for i in range(count):
            self.run([301 + i], position + i)


def llama_quantize(source, target, threads):
    """llama.cpp's own Q4_0, file to file."""
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype, parameters.nthread = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0, threads
    if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters)):
        raise RuntimeError("llama_model_quantize failed")


def prepare(folder, layers, sizes=None):
    """The same random weights as a GGUF file in Q4_0, and as refq's 4-bit directory in groups of 32, if not there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model").exists():
        write_checkpoint(folder / "model", layers=layers, **(sizes or {}))
    if not (folder / "f16.gguf").exists():
        write_gguf(folder / "model", folder / "f16.gguf")
    if not (folder / "q4_0.gguf").exists():
        llama_quantize(folder / "f16.gguf", folder / "q4_0.gguf", os.cpu_count())
    if not (folder / "refq-4bit").exists():
        quantize_model(folder / "model", folder / "refq-4bit", refq_fast)


def parser(text, rounds):
    """Arguments of a comparison that says so of itself: --threads, --keep and --rounds."""
    found = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    found.add_argument("--keep", type=pathlib.Path, help="make the models here and leave them")
    found.add_argument("--rounds", type=int, default=rounds)
    return found


def quiet():
    """Let llama.cpp print nothing from now on."""
    llama_cpp.llama_log_set(_SILENCE, ctypes.c_void_p(0))


_SILENCE = llama_cpp.llama_log_callback(lambda level, text, data: None)
