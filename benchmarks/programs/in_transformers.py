"""transformers, with compressed-tensors, gguf, or GPTQModel and optimum, where these are in its environment."""

import pathlib

from answers import serve


def load(job):
    from in_torch import described, logits, rows
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig

    path, options = pathlib.Path(job["model"]), {"dtype": job["dtype"], "device_map": "cpu"}
    if path.suffix == ".gguf":
        path, options = path.parent, options | {"gguf_file": path.name}
    if job.get("dequantize"):
        options["quantization_config"] = CompressedTensorsConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(path, **options).eval()
    return described(model, job["layers"][0]), rows(model), logits(model)


if __name__ == "__main__":
    serve(["transformers", "torch"], load, ["compressed-tensors", "gguf", "optimum", "gptqmodel"])
