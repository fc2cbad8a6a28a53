"""A model with outliers and biases, and what is seen while it is quantized block by block."""

import json
from typing import NamedTuple

import numpy as np

import refq_fast
from benchmarks.byte_tokenizer import byte_tokenizer
from refq.files.checkpoint import llama_tensors
from refq.files.config import read_config
from refq.jobs import calibrated, solving
from refq.jobs.calibrated import Calibration, Run
from refq.jobs.methods.recipe import checked
from refq.jobs.model import load_model, operations
from refq.jobs.plan import Options
from refq.models.llama import llama_logits
from tests.app import tiny
from tests.files.models import save, write_index

SIZES = {"hidden_size": 32, "intermediate_size": 48, "head_dim": 8, "num_hidden_layers": 3}
BIASES = {"attention_bias": True, "mlp_bias": True}
OPTIONS = Options(4, 8)


def write_model(directory, shards=1, dtype=np.float32, **changes):
    """Random weights; gains of norms that differ, some of them 8 times as large as the rest; biases where asked for."""
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(tiny.CONFIG | SIZES | changes))
    (directory / "tokenizer.json").write_text(json.dumps(byte_tokenizer()))
    random, tensors = np.random.default_rng(7), {}
    for name, shape in llama_tensors(read_config(directory / "config.json")).items():
        tensors[name] = random.standard_normal(shape) / np.sqrt(shape[-1])
        if name.endswith("norm.weight"):
            tensors[name] = 1 + tensors[name] + 8 * (random.random(shape) < 0.1)
        elif name == "model.embed_tokens.weight":
            tensors[name] *= np.sqrt(shape[-1])
    names = list(tensors)
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors" if shards > 1 else "model.safetensors"
        save(directory / file, {name: tensors[name].astype(dtype) for name in names[number::shards]})
    if shards > 1:
        files = [f"model-{n + 1:05}-of-{shards:05}.safetensors" for n in range(shards)]
        write_index(directory, {name: files[n % shards] for n, name in enumerate(names)})
    return directory


def steps(*methods, **told):
    """Steps of a recipe: names, each with what `told` says of the settings that it has."""
    known = {method: checked([{"method": method}], "?")[0].how._fields for method in methods}
    tables = [{"method": m} | {k: v for k, v in told.items() if k in known[m]} for m in methods]
    return checked(tables, "a test")


def calibration(*methods, activations=None, sequences=4, context=24, seed=0, activation_range="token", **told):
    return Calibration(steps(*methods, **told), activations, sequences, context, seed, activation_range)


class Seen(NamedTuple):
    """tokens (sequences, T); full, low: hidden states after the last block; blocks: as they are stored."""

    tokens: np.ndarray
    full: np.ndarray
    low: np.ndarray
    blocks: list


def solve(monkeypatch, model, out, asked, options=OPTIONS, engine=refq_fast, run=Run()):  # noqa: B008 (immutable)
    """quantize_calibrated, and what passed through it."""
    made, tokens, blocks = [], [], []

    class Watched(solving.States):
        def array(self, shape):
            made.append(super().array(shape))
            return made[-1]

    def solve_blocks(*args):
        tokens.append(args[4])
        return solving.solve_blocks(*args)

    def store(folder, name, block, journal):
        blocks.append(block)
        real(folder, name, block, journal)

    real = solving.solved.store
    with monkeypatch.context() as patch:
        patch.setattr(solving, "States", Watched)
        patch.setattr(calibrated, "solve_blocks", solve_blocks)
        patch.setattr(solving.solved, "store", store)
        text = tiny.TEXT if asked.needs_text else None
        assert calibrated.quantize_calibrated(model, out, engine, options, asked, text, run)
    blocks = [block for block in blocks if block.grids]
    return Seen(tokens[0], *(made[:2] or [None, None]), blocks)


def logits_of(directory, tokens, engine=refq_fast, activations=True):
    """What a stored model gives."""
    config, params = load_model(directory, engine, activations)
    return engine.llama_forward(params, tokens, config, operations(engine, config))


def logits_after(directory, states, engine=refq_fast):
    """What it gives for hidden states after its last block."""
    config, params = load_model(directory, engine)
    return llama_logits(params, np.asarray(states), config, operations(engine, config))
