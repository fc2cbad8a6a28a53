"""Logits beside transformers: the real model, and seeded ones with what it lacks."""

import numpy as np
import pytest

from refq.jobs.model import load_model
from tests.laws.models import SCALING, seeded_model
from tests.laws.operations import UNIT
from tests.support import both

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]  # their warnings are theirs
torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

SHAPE = {"layers": 3, "K": 2, "R": 2, "d": 8, "D": 24, "F": 40, "V": 61}
MODELS = {
    "wide-heads": SHAPE | {"tied": False},
    "qwen2-biases": SHAPE | {"D": 32, "biases": "qkv"},
    "all-biases": SHAPE | {"D": 32, "biases": "qkvom"},
    "llama3-frequencies": SHAPE | {"scaling": SCALING},
}


@both
@pytest.mark.parametrize("text", ["tinystories", "wikitext-2"])
def test_stories_logits(data, engine, text):
    folder = data / "models" / "stories260K"
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    content = (data / "text" / text / "valid.txt").read_text(encoding="utf-8")[:8000]
    tokens = np.array(tokenizer(content)["input_ids"][:1024]).reshape(4, 256)
    config, params = load_model(folder, engine)
    assert np.abs(engine.llama_forward(params, tokens, config) - _logits(theirs, tokens)).max() <= 1e-4


@both
@pytest.mark.parametrize("name", MODELS)
def test_seeded_logits(engine, name):
    params, config = seeded_model(9, **MODELS[name])
    tokens = np.random.default_rng(2).integers(0, SHAPE["V"], (2, 48))
    expected = _logits(_theirs(params, config, MODELS[name]), tokens)
    difference = np.abs(engine.llama_forward(params, tokens, config) - expected)
    assert difference.max() <= 1000 * UNIT * np.abs(expected).max()


def _theirs(params, config, shape):
    biases = shape.get("biases", "")
    family, kind = transformers.LlamaConfig, transformers.LlamaForCausalLM
    if biases == "qkv":
        family, kind = transformers.Qwen2Config, transformers.Qwen2ForCausalLM
    rotary = {"rope_theta": config["rope_theta"]} | (config["rope_scaling"] or {"rope_type": "default"})
    sizes = {"hidden_size": shape["D"], "intermediate_size": shape["F"], "vocab_size": shape["V"]}
    flags = {"tie_word_embeddings": "lm_head.weight" not in params}
    if "o" in biases:
        flags |= {"attention_bias": True, "mlp_bias": True}
    keys = ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps")
    settings = sizes | flags | {key: config[key] for key in keys}
    model = kind(family(**settings, rope_parameters=rotary, max_position_embeddings=64)).eval()
    found = model.load_state_dict({name: torch.from_numpy(array) for name, array in params.items()}, strict=False)
    assert not found.unexpected_keys
    assert set(found.missing_keys) <= {"lm_head.weight"}
    model.tie_weights()
    return model


def _logits(model, tokens):
    with torch.no_grad():
        return model(torch.from_numpy(tokens)).logits.numpy()
