"""Train the small LLaMA of the package anew: stories of the small world in, a float16 model directory out."""

import functools
import json
import math
import os
from typing import NamedTuple

import numpy as np

from refq import __version__
from refq.files.checkpoint import llama_tensors
from refq.files.config import read_config
from refq.files.safetensors import header_bytes
from refq.files.tokenizer import open_tokenizer
from refq.jobs import output
from refq.jobs.journal import canonical
from refq.jobs.perplexity import score
from refq.jobs.room import begin
from refq.jobs.trainer import Loop, csv, train
from refq.training.recipe import complete
from refq.training.step import kd_step
from refq.world.stories import story

STORIES = 2**12  # numbers of stories that belong to a step: more than it can use
HELD_OUT = 2**40  # the first number of the stories for validation
WINDOWS = 64  # of validation


class Pretraining(NamedTuple):
    """What decides the bytes of the model, beside its shape."""

    steps: int = 2000
    batch: int = 32
    context: int = 256
    lr: float = 3e-3
    warmup: int = 100
    weight_decay: float = 0.1
    seed: int = 0
    eval_every: int = 200


CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "dtype": "float16",
}


def pretrain_model(out, tokenizer, engine, settings=Pretraining(), save_every=50, resume=False):  # noqa: B008 (immutable)
    """Train from random weights, with cross-entropy alone, on stories that no other step sees.

    Parameters
        out: the directory to write; it appears when it is whole.
        tokenizer: directory of tokenizer.json and tokenizer_config.json.
        engine: refq or refq_fast.
        settings: Pretraining.
        save_every, resume: as distill_model has them.
    Returns
        history: as distill_model gives it.
    """
    target = output.check_paths(tokenizer, out, False)
    with open(os.path.join(tokenizer, "tokenizer.json"), encoding="utf-8") as file:
        vocabulary = len(json.load(file)["model"]["vocab"])
    cut = open_tokenizer(tokenizer, vocabulary)
    special = {f"{kind}_token_id": cut.token_id(text) for kind, text in (("bos", "<s>"), ("eos", "</s>"))}
    record = {"command": "pretrain", "version": __version__, "settings": settings._asdict()}
    with output.claim(target) as room, output.disk_errors(target, 2**26):
        begin(room, record, resume)
        model = os.path.join(room, "model")
        config_file = CONFIG | {"vocab_size": vocabulary} | special
        output.write_file(os.path.join(model, "config.json"), _pretty(config_file))
        config = read_config(os.path.join(model, "config.json"))
        params, _, history = train(room, _loop(engine, config, cut, settings, save_every), start(config, settings.seed))
        _write(model, tokenizer, special, record, params, history)
        output.publish(room, target, False)
    return history


def start(config, seed):
    """Random weights: normal with deviation 0.02, the projections back into the stream divided by sqrt(2 layers).

    PCG64's raw numbers and exact sums, so the same bytes everywhere.
    """
    random, params = np.random.PCG64(seed), {}
    for name, shape in llama_tensors(config).items():
        if len(shape) == 1:
            params[name] = np.ones(shape, np.float32)
            continue
        # the sum of twelve uniform numbers less 6 is nearly normal
        raw = random.random_raw(12 * math.prod(shape)).reshape(12, *shape) >> np.uint64(40)
        deviation = 0.02 / (
            math.sqrt(2 * config["num_hidden_layers"]) if name.endswith(("o_proj.weight", "down_proj.weight")) else 1
        )
        params[name] = ((raw.sum(axis=0) * 2.0**-24 - 6) * deviation).astype(np.float32)
    return params


def windows(tokenizer, seed, first, count, context):
    """Windows of whole stories one after the other, from story `first` on: tokens and targets (count, context)."""
    ids, number = [], first
    while len(ids) <= count * context:
        ids += tokenizer.encode(story(seed, number))
        number += 1
    ids = np.array(ids[: count * context + 1], np.int32)
    return ids[:-1].reshape(count, context), ids[1:].reshape(count, context)


def _loop(engine, config, tokenizer, settings, save_every):
    recipe = {"losses": {"ce": 1.0}, "learning_rate": settings.lr, "weight_decay": settings.weight_decay}
    recipe |= {"betas": [0.9, 0.95], "warmup": settings.warmup, "steps": settings.steps}
    held_out, _ = windows(tokenizer, settings.seed, HELD_OUT, WINDOWS, settings.context)

    def batch(number):
        shape = settings.batch, settings.context
        tokens, targets = windows(tokenizer, settings.seed, number * STORIES, *shape)
        return {"tokens": tokens, "targets": targets, "mask": np.ones(tokens.shape, bool)}

    def evaluate(params):
        return math.exp(score(engine, [(config, params)], held_out)[0] / (held_out.size - len(held_out)))

    step = functools.partial(kd_step, config=config, recipe=complete(recipe), ops=engine)
    count = settings.batch * settings.context
    return Loop(step, batch, count, settings.steps, save_every, settings.eval_every, evaluate)


def _write(model, tokenizer, special, record, params, history):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        with open(os.path.join(tokenizer, name), "rb") as file:
            output.write_file(os.path.join(model, name), file.read())
    output.write_file(os.path.join(model, "generation_config.json"), _pretty(special))
    output.write_file(os.path.join(model, "training.csv"), csv(history).encode())
    entries = [(name, "F16", array.shape) for name, array in params.items()]
    header = header_bytes(entries, {"format": "pt", "refq": canonical({"run": record, "figures": {}})})
    weights = b"".join(array.astype("<f2").tobytes() for array in params.values())
    output.write_file(os.path.join(model, "model.safetensors"), header + weights)


def _pretty(value):
    return (json.dumps(value, indent=1) + "\n").encode()
