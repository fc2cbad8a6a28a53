"""refq beside llama.cpp in one run: prefill (benchmarks.decode: decode). Needs `pip install llama-cpp-python gguf`.

python -m benchmarks.llama_cpp [--layers 4] [--threads 1 2] [--keep FOLDER]

The model has TinyLlama-1.1B's width and random weights. refq runs its 4-bit directory (group 32, float32 activations,
float head), llama.cpp the Q4_0 file it quantized itself from the same weights (8-bit activations, 6-bit head).
One thread: process CPU time; two: wall time.
"""

import argparse
import ctypes
import datetime
import os
import pathlib
import tempfile

import gguf
import llama_cpp
import numba
import numpy as np

import refq_fast
from benchmarks.measure import interleaved, row
from benchmarks.synthetic_checkpoint import write_checkpoint
from refq.app.info import cpu_name
from refq.files.checkpoint import open_checkpoint
from refq.jobs.model import load_model
from refq.jobs.quantize import quantize_model

RESULTS = pathlib.Path(__file__).parent / "results"
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


def compare(folder, threads):
    """The rows of the table for one number of threads."""
    numba.set_num_threads(threads)
    quantized, q4_0 = folder / "refq-4bit", folder / "q4_0.gguf"
    config, params = load_model(quantized, refq_fast)
    peer = LlamaCpp(q4_0, threads)
    prompt = list(range(300, 428))
    label = f"{threads} thread{'s' * (threads > 1)}"
    tokens = np.array([prompt])
    seconds = interleaved(
        {
            "refq": lambda: refq_fast.llama_decode(params, tokens, None, config),
            "llama.cpp": lambda: peer.prefill(prompt),
        },
        rounds=7,
        threads=threads,
    )
    yield row(f"prefill of 128, {label}", "tokens/s", 128, seconds, "refq", "llama.cpp")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--keep", type=pathlib.Path, help="make the model here and leave it")
    options = parser.parse_args()
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or pathlib.Path(scratch)
        folder.mkdir(exist_ok=True)
        if not (folder / "q4_0.gguf").exists():
            write_checkpoint(folder / "model", layers=options.layers)
            write_gguf(folder / "model", folder / "f16.gguf")
            llama_quantize(folder / "f16.gguf", folder / "q4_0.gguf", os.cpu_count())
            quantize_model(folder / "model", folder / "refq-4bit", refq_fast)
        lines = [
            f"# refq beside llama.cpp {llama_cpp.__version__}, {options.layers} layers, {datetime.date.today()}",
            "",
            f"{cpu_name()}, {os.cpu_count()} cores, NumPy {np.__version__}, Numba {numba.__version__}.",
            "refq: 4 bits, groups of 32, float32 activations and head.",
            "llama.cpp: Q4_0, 8-bit activations, head in Q6_K.",
            "One thread: process CPU time; two: wall time.",
            "Times faster: median (quartiles) of interleaved pairs; above 1 refq is faster.",
            "",
            "| work | refq | llama.cpp | times faster |",
            "|---|---:|---:|---:|",
        ]
        for threads in options.threads:
            for line in compare(folder, threads):
                lines.append(line)
                print(line, flush=True)
    path = RESULTS / f"{datetime.date.today()}-llama-cpp.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
