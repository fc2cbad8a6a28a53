"""GPTQModel on the CPU.

Without a backend it compiles its own CPU kernels first, two minutes of C++ that look like a hang; its Torch kernels
need none. They load in float16; asked for float32, the loaded model is converted by .float().
"""

import os

from answers import serve

os.environ |= {"TORCHDYNAMO_DISABLE": "1", "CUDA_VISIBLE_DEVICES": ""}


def load(job):
    import torch
    from gptqmodel import BACKEND, GPTQModel
    from in_torch import described, logits, rows

    options = {"device": "cpu", "backend": BACKEND.TORCH, "dtype": torch.float16}
    model = GPTQModel.load(job["model"], **options).model.eval()
    model = model.float() if job["dtype"] == "float32" else model
    how, weight = described(model, job["layers"][0]), rows(model)
    if "Awq" in how and job["dtype"] == "float32":  # the layer itself insists on float16
        how, weight = "AwqTorchLinear; dequantize_gemm in float32", _unpacked(model)
    return how, weight, logits(model)


def _unpacked(model):
    from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm

    def weight(layer):
        module = model.get_submodule(layer)
        words = module.qweight, module.qzeros, module.scales.float()
        return dequantize_gemm(*words, module.bits, module.group_size).T.numpy()

    return weight


if __name__ == "__main__":
    serve(["gptqmodel", "torch", "transformers"], load)
