"""llama.cpp by llama-cpp-python: it reads the whole file, writes it again as F32, and generates logits.

gguf reads the F32 file. Keys and values are kept in float32; what linear layers of blocks read, llama.cpp itself
rounds to 8 bits.
"""

import pathlib

import numpy as np
from answers import serve

NAMES = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output"}
NAMES |= {"gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}


def load(job):
    import llama_cpp

    llama = llama_cpp.Llama(job["model"], n_ctx=job["context"], n_batch=job["context"], n_threads=1, logits_all=True,
                            type_k=0, type_v=0, verbose=False)  # fmt: skip

    def logits(windows):
        found = []
        for window in windows:
            llama.reset()
            llama.eval(window.tolist())
            found.append(llama.scores[: len(window)].copy())
        return np.array(found)

    return "all tensors", weights(job), logits


def weights(job):
    """Function, layer -> its weight, as llama.cpp decodes it; rows of heads back in the order of Hugging Face."""
    import gguf
    import llama_cpp

    path = pathlib.Path(job["answer"]).with_suffix(".f32.gguf")
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.nthread, options.allow_requantize = 0, 1, True  # 0 is all F32
    if llama_cpp.llama_model_quantize(job["model"].encode(), str(path).encode(), options):
        raise RuntimeError("llama_model_quantize to F32 failed")
    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}

    def weight(layer):
        _, _, number, _, name = layer.split(".")
        found = tensors[f"blk.{number}.{NAMES[name]}.weight"]
        heads = job["heads"].get(name)
        if heads is None:
            return found
        return found.reshape(heads, -1, 2, found.shape[1]).swapaxes(1, 2).reshape(found.shape)

    path.unlink()  # its numbers stay mapped
    return weight


if __name__ == "__main__":
    serve(["llama-cpp-python", "gguf"], load)
