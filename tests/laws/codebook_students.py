"""What the laws of fine-tuning share: small students of codebooks, encoders and LLaMAs, and batches for them."""

import numpy as np
from hypothesis import strategies as st

import refq
from refq.training.codebook_student import CODEBOOK, INDEX, quantized_names
from tests.laws.models import seeded_bert, seeded_model

ENTRIES = np.float32([[-0.75, -0.3, 0.1, 0.6]])  # three of them are no numbers of float16


def seeded_codebooks(weights, seed, requantize=False, names=None):
    """The weights with codebooks near ENTRIES and a drawn index for those of `names`, or for all matrices."""
    random, params = np.random.default_rng(seed), dict(weights)
    for name in quantized_names(weights) if names is None else names:
        params[name + CODEBOOK] = ENTRIES + (random.standard_normal((1, 4)) * 0.1).astype(np.float32)
        if not requantize:
            params[name + INDEX] = random.integers(0, 4, params.pop(name).shape).astype(np.uint8)
    return params


@st.composite
def finetune_arguments(draw):
    """Arguments of finetune_gradients: three kinds of answers, both variants, and float models."""
    seed, kind = draw(st.integers(0, 99)), draw(st.sampled_from(["labels", "scores", "targets"]))
    random, B, T = np.random.default_rng(seed), 2 * draw(st.integers(1, 2)), draw(st.integers(1, 4))
    if kind == "targets":
        weights, config = seeded_model(seed, layers=draw(st.integers(0, 1)), tied=draw(st.booleans()))
    else:
        width, shared = draw(st.sampled_from([(None, False), (3, True)]))
        pooler = kind == "labels" or draw(st.booleans())
        layers = draw(st.integers(0, 2))
        weights, config = seeded_bert(seed, layers, width=width, shared=shared and layers > 0, pooler=pooler)
        if pooler:
            classifier = {"classifier.weight": (3, 4), "classifier.bias": (3,)}
            weights |= {name: random.standard_normal(n).astype(np.float32) for name, n in classifier.items()}
    names = draw(st.sampled_from([None, quantized_names(weights)[::2], []]))
    lengths = random.integers(1, T + 1, B)
    batch = {"tokens": random.integers(0, 11, (B, T)).astype(np.int32), "mask": np.arange(T) < lengths[:, None]}
    answers = {"labels": random.integers(0, 3, B), "targets": random.integers(0, 11, (B, T))}
    batch[kind] = answers[kind].astype(np.int32) if kind in answers else random.random(B // 2).astype(np.float32)
    if kind != "targets" and draw(st.booleans()):
        batch["types"] = random.integers(0, 2, (B, T)).astype(np.int32)
    params = seeded_codebooks(weights, seed, draw(st.booleans()), names)
    return {"params": params, "batch": batch, "config": config, "recipe": {"reduce": draw(st.sampled_from(REDUCE))}}


REDUCE = ("mean", "sum")


def float_student(params):
    """The same model without codebooks."""
    return refq.training.codebook_student.used_weights(params, refq)
