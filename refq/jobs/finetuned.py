"""An encoder before and after fine-tuning: a head, one layer for all, and the directory of the result."""

import json
import os

import numpy as np

import refq
from refq.errors import CheckpointError, UsageError
from refq.files.bert_config import FAMILIES
from refq.files.encoder import bert_tensors, stored_name
from refq.files.quantization import weights_stem
from refq.files.shards import weight_files
from refq.files.strict import parse_json
from refq.grids.pack import as_codes
from refq.jobs import output
from refq.jobs.arrays import write_arrays
from refq.jobs.inputs import carried, read_small
from refq.jobs.journal import canonical
from refq.training.codebook_student import CODEBOOK, INDEX

DEVIATION = 0.02  # of a new head's weights, as transformers draws them
MAPPING = "encoder.embedding_hidden_mapping_in"


def with_head(config, weights, labels, seed):
    """The model with a linear classifier, a new one if it has none.

    It takes the pooled state, as transformers' models do: they load the result, and give the same logits.

    Parameters
        config, weights: as load_encoder gives them.
        labels: how many the head must know.
        seed: of the weights of a new one.
    Raises
        UsageError: a model without a pooler, or a classifier of fewer labels.
    """
    if "pooler.dense.weight" not in weights:
        raise UsageError("the model has no pooler, whose state a classifier takes; another model is needed for labels")
    if config["num_labels"] is not None:
        if labels > config["num_labels"]:
            raise UsageError(f"the task has the labels 0..{labels - 1}; the model knows {config['num_labels']}")
        return config, weights
    # raw numbers of PCG64 and exact sums, the same everywhere: twelve uniform numbers less 6 are nearly normal
    raw = np.random.PCG64(seed).random_raw(12 * labels * config["hidden_size"]).reshape(12, labels, -1)
    w = ((raw >> np.uint64(40)).sum(axis=0) * 2.0**-24 - 6) * DEVIATION
    head = {"classifier.weight": w.astype(np.float32), "classifier.bias": np.zeros(labels, np.float32)}
    return config | {"num_labels": labels}, weights | head


def with_shared_layers(config, weights):
    """The model as an ALBERT: its last layer serves for all, its embedding is as wide as its states.

    The last, because what follows was trained on its states alone: before any training all-MiniLM-L6-v2 has a Spearman
    of 0.69 on STS-B with it, 0.48 to 0.65 with one of the others, 0.67 with their mean; after 50 steps 0.72, 0.47 to
    0.67, and 0.72. ALBERT's matrix between embedding and layers is the identity to begin with.

    Raises
        UsageError: a model whose layers are one already.
    """
    if config["shared_layers"]:
        raise UsageError("--share-layers: one layer serves for all of this model already")
    D, last = config["hidden_size"], f"encoder.layer.{config['num_hidden_layers'] - 1}."
    kept = {name: w for name, w in weights.items() if not name.startswith("encoder.layer.")}
    kept |= {name.replace(last, "encoder.layer.0."): w for name, w in weights.items() if name.startswith(last)}
    kept |= {f"{MAPPING}.weight": np.eye(D, dtype=np.float32), f"{MAPPING}.bias": np.zeros(D, np.float32)}
    return config | {"model_type": "albert", "shared_layers": True, "embedding_size": D}, kept


def write_model(room, checkpoint, student, digests, record):
    """Write all files of the result into `room`/model.

    Parameters
        room: the directory that output.claim gave.
        checkpoint: of the model that was fine-tuned.
        student: (config, stored parameters, see refq.training.codebook_student).
        digests: file name -> sha256 of the model's small files.
        record: the run record.
    """
    config, stored = student
    model = os.path.join(room, "model")
    for name in carried(checkpoint.directory):
        output.write_file(os.path.join(model, name), read_small(checkpoint.directory, name, digests[name]))
    arrays = _arrays(config, stored)
    path = os.path.join(model, weight_files(weights_stem(config["quantization"]))[0])
    write_arrays(path, arrays, {"format": "pt", "refq": canonical({"run": record, "figures": {}})})
    output.write_file(os.path.join(model, "config.json"), _config(checkpoint, config, digests))


def _arrays(config, stored):
    """All tensors of the file by their names in it, the widest elements first, so that each is aligned."""
    arrays, bits = {}, (config["quantization"] or {}).get("bits")
    for name in bert_tensors(config, pooler="pooler.dense.bias" in stored):
        if name in stored:
            arrays[stored_name(name, config)] = stored[name].astype(np.float32, copy=False)
        else:
            index, codebook = stored[name + INDEX], stored[name + CODEBOOK]
            arrays[stored_name(name, config) + INDEX] = refq.pack_codes(as_codes(index, bits), bits)
            arrays[stored_name(name, config) + CODEBOOK] = codebook.astype(np.float16)[None]
    return dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))


def _config(checkpoint, config, digests):
    """config.json: that of the model, with what has changed."""
    path = os.path.join(checkpoint.directory, "config.json")
    raw = parse_json(read_small(checkpoint.directory, "config.json", digests["config.json"]), path, CheckpointError)
    raw = {key: value for key, value in raw.items() if key not in ("torch_dtype", "quantization_config")}
    head = "Model" if config["num_labels"] is None else "ForSequenceClassification"
    raw |= {"architectures": [FAMILIES[config["model_type"]] + head], "dtype": "float32"}
    if config["model_type"] != checkpoint.config["model_type"]:
        raw |= {"model_type": "albert", "embedding_size": config["embedding_size"], "num_hidden_groups": 1}
        kept = ("hidden_act", "layer_norm_eps", "max_position_embeddings", "type_vocab_size")
        raw |= {"inner_group_num": 1} | {key: config[key] for key in kept}
        raw["hidden_act"] = "gelu" if config["hidden_act"] == "gelu" else "gelu_new"
    if config["num_labels"] is not None and checkpoint.config["num_labels"] is None:
        names = {str(n): f"LABEL_{n}" for n in range(config["num_labels"])}
        raw |= {"id2label": names, "label2id": {name: int(n) for n, name in names.items()}}
    if config["quantization"] is not None:
        raw["quantization_config"] = config["quantization"]
    return (json.dumps(raw, indent=2) + "\n").encode()
