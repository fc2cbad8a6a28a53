"""Sentences through an encoder: tokens, batches of like length, states, and one vector a sentence."""

import math

import numpy as np

import refq
from refq.errors import NonFiniteError
from refq.files.encoder import bert_tensors, open_encoder
from refq.files.tokenizer import open_tokenizer
from refq.jobs.progress import progress
from refq.jobs.stored import read_floats, weight_rows
from refq.training.finetune import mean_pooled

NUMBERS = 2**22  # in the widest intermediate result of one call: 16 MB in float32


def load_encoder(directory):
    """Read a directory of BERT or ALBERT into the parameters that `bert_forward` takes; codebooks are looked up.

    Parameters
        directory: a Hugging Face model directory.
    Returns
        config: dict, see read_bert_config.
        params: dict, BertModel's name -> float32 array; with "classifier.weight" and "classifier.bias" if it has them.
    Raises
        FileError: whatever open_encoder refuses; a weight that is not finite.
    """
    checkpoint, params = open_encoder(directory), {}
    shapes = bert_tensors(checkpoint.config, pooler="pooler.dense.bias" in checkpoint.tensors)
    with progress(sum(map(math.prod, shapes.values())), "weights", "loading") as advance:
        for name, shape in shapes.items():
            layer = name.removesuffix(".weight")
            stored = layer in checkpoint.schemes and name != layer
            params[name] = _entries(checkpoint, layer, shape) if stored else read_floats(checkpoint, name)
            advance(math.prod(shape))
    return checkpoint.config, params


def encode_texts(directory, config, texts, most=None):
    """Tokens and types of texts.

    Parameters
        directory: where tokenizer.json is.
        config: see read_bert_config.
        texts: list of str, or of pairs (str, str).
        most: tokens of each at most; None for as many as the model has positions.
    Returns
        list of (ids, types), one a text, as Tokenizer.encode_pair gives them.
    """
    positions = config["max_position_embeddings"]
    tokenizer = open_tokenizer(directory, config["vocab_size"], min(most or positions, positions))
    return [tokenizer.encode_pair(*([text] if isinstance(text, str) else text)) for text in texts]


def batches(config, encoded):
    """Texts of like length together, as many as memory bounds; a function of their lengths and of the config alone.

    Yields
        (numbers, tokens, mask, types): which texts, and int32, bool, int32 (B, T), padded at the right.
    """
    order, batch = sorted(range(len(encoded)), key=lambda number: len(encoded[number][0])), []
    for number in order:
        T = len(encoded[number][0])
        widest = max(config["intermediate_size"], config["hidden_size"], config["num_attention_heads"] * T)
        if batch and (len(batch) + 1) * T * widest > NUMBERS:
            yield batch, *padded([encoded[n] for n in batch])
            batch = []
        batch.append(number)
    if batch:
        yield batch, *padded([encoded[n] for n in batch])


def padded(encoded):
    """Texts side by side: tokens, mask and types, int32, bool, int32 (B, T), padded at the right.

    Parameters
        encoded: list of (ids, types).
    """
    shape = (len(encoded), max(len(ids) for ids, _ in encoded))
    tokens, mask, types = np.zeros(shape, np.int32), np.zeros(shape, bool), np.zeros(shape, np.int32)
    for row, (ids, kinds) in enumerate(encoded):
        tokens[row, : len(ids)], types[row, : len(ids)], mask[row, : len(ids)] = ids, kinds, True
    return tokens, mask, types


def states(engine, model, encoded, ops=None):
    """The states of all texts, batch by batch.

    Parameters
        model: (config, params).
        ops: as bert_forward has it.
    Yields
        (numbers, mask, hidden, pooled): which texts, bool (B, T), and what bert_forward gives.
    """
    config, params = model
    with progress(len(encoded), "texts", "encoding") as advance:
        for numbers, tokens, mask, types in batches(config, encoded):
            yield numbers, mask, *engine.bert_forward(params, tokens, mask, config, ops, types)
            advance(len(numbers))


def sentence_vectors(engine, model, encoded):
    """The mean state of each text, float32 (texts, D).

    Raises
        NonFiniteError: a state is not finite.
    """
    vectors = np.zeros((len(encoded), model[0]["hidden_size"]), np.float32)
    for numbers, mask, hidden, _ in states(engine, model, encoded):
        vectors[numbers] = mean_pooled(hidden, mask)
    if not np.isfinite(vectors).all():
        raise NonFiniteError("a state of a sentence is not finite; the model's must be")
    return vectors


def _entries(checkpoint, layer, shape):
    """A matrix of indices as the numbers that they stand for."""
    w = np.empty(shape, np.float32)
    for start, rows in weight_rows(checkpoint, layer, shape, refq):
        w[start : start + len(rows)] = rows
    return w
