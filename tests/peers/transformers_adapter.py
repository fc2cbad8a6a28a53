"""transformers' LLaMA under our names."""

import importlib.metadata

import numpy as np
import torch
from transformers import (
    AlbertConfig,
    AlbertModel,
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)
from transformers.models.llama import modeling_llama

from tests.files.encoders import albert_name

NAME, __version__ = "transformers", importlib.metadata.version("transformers")
__all__ = ["rms_norm", "rope_frequencies", "rope", "rope_vjp", "llama_forward", "cosine_schedule", "linear_schedule"]
__all__ += ["bert_forward"]


def rms_norm(x, weight, eps):
    norm = modeling_llama.LlamaRMSNorm(len(weight), eps)
    norm.weight.data = torch.from_numpy(weight)
    return norm(torch.from_numpy(x)).detach().numpy()


def rope_frequencies(head_dim, theta, scaling=None):
    rope = {"rope_theta": theta, "rope_type": "default"} | (scaling or {})
    settings = {
        "hidden_size": head_dim,
        "num_attention_heads": 1,
        "head_dim": head_dim,
        "max_position_embeddings": 2**20,
    }
    config = LlamaConfig(**settings, rope_parameters=rope)
    return modeling_llama.LlamaRotaryEmbedding(config).inv_freq.double().numpy()


def rope(x, positions, frequencies):
    return _rotation(x, positions, frequencies)(torch.from_numpy(x)).numpy()


def rope_vjp(g, x, positions, frequencies):
    leaf = torch.from_numpy(x).requires_grad_()
    y = _rotation(x, positions, frequencies)(leaf)
    return torch.autograd.grad(y, leaf, torch.from_numpy(g))[0].numpy()


def llama_forward(params, tokens, config):
    D, tied = params["model.embed_tokens.weight"].shape[1], "lm_head.weight" not in params
    rope = {"rope_theta": config["rope_theta"], "rope_type": "default"} | (config["rope_scaling"] or {})
    sizes = ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps")
    if config["num_hidden_layers"] == 0:
        raise NotImplementedError("transformers wants a layer")
    settings = LlamaConfig(
        **{name: config[name] for name in sizes},
        **{"hidden_size": D, "vocab_size": len(params["model.embed_tokens.weight"]), "tie_word_embeddings": tied},
        **{"intermediate_size": len(params.get("model.layers.0.mlp.up_proj.weight", [0]))},
        **{"attention_bias": "model.layers.0.self_attn.q_proj.bias" in params, "rope_parameters": rope},
        **{"mlp_bias": "model.layers.0.mlp.up_proj.bias" in params},
    )
    model = LlamaForCausalLM(settings).eval()
    named = {name: torch.from_numpy(value) for name, value in params.items()}
    missing, unknown = model.load_state_dict(named, strict=False)
    left = [n for n in missing if not (tied and n == "lm_head.weight")] + list(unknown)
    if left:
        raise NotImplementedError(f"transformers has no place for, or needs, {left}")
    with torch.no_grad():
        return model(torch.from_numpy(tokens.astype(np.int64))).logits.numpy()


def bert_forward(params, tokens, mask, config, types=None):
    projection, layers = "encoder.embedding_hidden_mapping_in.weight", config["num_hidden_layers"]
    (V, E), albert = (
        params["embeddings.word_embeddings.weight"].shape,
        config.get("shared_layers") or projection in params,
    )
    D = len(params[projection]) if projection in params else E
    settings = {
        "vocab_size": V,
        "hidden_size": D,
        "num_hidden_layers": layers,
        "layer_norm_eps": config["layer_norm_eps"],
    }
    settings |= {"max_position_embeddings": len(params["embeddings.position_embeddings.weight"]), "pad_token_id": None}
    settings |= {"num_attention_heads": config.get("num_attention_heads", 1), "attn_implementation": "eager"}
    settings["intermediate_size"] = len(params.get("encoder.layer.0.intermediate.dense.weight", [0]))
    settings["hidden_act"] = {"gelu": "gelu", "gelu_tanh": "gelu_new"}[config["hidden_act"]]
    settings["type_vocab_size"] = len(params["embeddings.token_type_embeddings.weight"])
    if albert:
        params = {albert_name(name): value for name, value in ({projection: np.eye(D, dtype="f")} | params).items()}
        settings["embedding_size"] = E
    family, kind = (AlbertConfig, AlbertModel) if albert else (BertConfig, BertModel)
    model = kind(family(**settings), add_pooling_layer=any(name.startswith("pooler") for name in params)).eval()
    zeros = {name: torch.zeros_like(w) for name, w in model.state_dict().items() if name.endswith("bias")}
    missing, unknown = model.load_state_dict(zeros | {n: torch.from_numpy(w) for n, w in params.items()}, strict=False)
    left = [n for n in missing if not (albert and "albert_layers" in n and layers == 0)] + list(unknown)
    if left:
        raise NotImplementedError(f"transformers has no place for, or needs, {left}")
    inputs = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": tokens * 0 if types is None else types}
    with torch.no_grad():
        found = model(**{name: torch.from_numpy(value.astype(np.int64)) for name, value in inputs.items()})
    pooled = found.pooler_output
    return found.last_hidden_state.numpy(), None if pooled is None else pooled.numpy()


def cosine_schedule(step, steps, warmup=0):
    return _multiplier(get_cosine_schedule_with_warmup, step, steps, warmup)


def linear_schedule(step, steps, warmup=0):
    return _multiplier(get_linear_schedule_with_warmup, step, steps, warmup)


def _multiplier(schedule, step, steps, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    return float(schedule(optimizer, warmup, steps).lr_lambdas[0](step))


def _rotation(x, positions, frequencies):
    angles = np.broadcast_to(positions, x.shape[:-1])[..., None] * np.concatenate([frequencies, frequencies])
    cos, sin = (torch.from_numpy(part(angles).astype(x.dtype)) for part in (np.cos, np.sin))
    return lambda x: modeling_llama.apply_rotary_pos_emb(x[None], x[None], cos, sin, unsqueeze_dim=0)[0][0]
