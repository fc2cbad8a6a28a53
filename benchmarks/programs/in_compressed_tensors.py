"""compressed-tensors layer by layer, without the loader of transformers: what it unpacks, in a float model."""

import pathlib

from answers import serve


def load(job):
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationConfig
    from compressed_tensors.utils import is_match
    from in_torch import described, logits, rows
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForCausalLM

    path = pathlib.Path(job["model"])
    config, tensors = AutoConfig.from_pretrained(path), load_file(path / "model.safetensors")
    how = QuantizationConfig.model_validate(config.quantization_config)
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype="float32").eval()
    compressor = BaseCompressor.get_value_from_registry(how.format)
    for layer in job["layers"]:
        exact = [group for group in how.config_groups.values() if layer in group.targets]
        module = model.get_submodule(layer)
        [scheme] = exact or [g for g in how.config_groups.values() if is_match(layer, module, g.targets)]
        parts = {
            name.removeprefix(f"{layer}."): tensors.pop(name) for name in list(tensors) if name.startswith(f"{layer}.")
        }
        tensors[f"{layer}.weight"] = compressor.decompress(parts, scheme)["weight"]
    tied = {"lm_head.weight": tensors["model.embed_tokens.weight"]} if config.tie_word_embeddings else {}
    model.load_state_dict(tensors | tied)
    return f"{compressor.__name__}; {described(model, job['layers'][0])}", rows(model), logits(model)


if __name__ == "__main__":
    serve(["compressed-tensors", "transformers", "torch"], load)
