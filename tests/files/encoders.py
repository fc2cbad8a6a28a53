"""Small directories of BERT and ALBERT: config.json, weights under any of their names, a WordPiece tokenizer."""

import json

import numpy as np
import tokenizers

from refq.files.quantization import weights_stem
from tests.files.models import save

CONFIG = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "vocab_size": 24,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 12,
}
ALBERT = CONFIG | {"architectures": ["AlbertModel"], "model_type": "albert", "embedding_size": 6}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "on", "mat", "a", "dog", "##s", "."]
NAMES = {  # of AlbertModel
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.dense",
    "attention.output.LayerNorm": "attention.LayerNorm",
    "intermediate.dense": "ffn",
    "output.dense": "ffn_output",
    "output.LayerNorm": "full_layer_layer_norm",
}


def write_encoder(directory, config, tensors, rename=lambda name: name):
    """A model directory of these tensors, each under another name."""
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))
    quantized = isinstance(config.get("quantization_config"), dict)
    stem = weights_stem(config["quantization_config"]) if quantized else "model"
    save(directory / f"{stem}.safetensors", {rename(name): np.asarray(array) for name, array in tensors.items()})
    write_tokenizer(directory)
    return directory


def albert_name(name):
    """What AlbertModel calls a tensor of BertModel."""
    if name.startswith("encoder.layer.0."):
        place, _, kind = name.removeprefix("encoder.layer.0.").rpartition(".")
        return f"encoder.albert_layer_groups.0.albert_layers.0.{NAMES[place]}.{kind}"
    return name.replace("pooler.dense.", "pooler.")


def write_tokenizer(directory):
    """A WordPiece tokenizer of a few words, lowercase, as BERT's."""
    inner = tokenizers.Tokenizer(tokenizers.models.WordPiece({w: n for n, w in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.normalizer = tokenizers.normalizers.BertNormalizer()
    inner.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    inner.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    inner.enable_padding(length=9)  # both are to be ignored
    inner.enable_truncation(4)
    inner.save(str(directory / "tokenizer.json"))
