"""Every kernel called once, so that it is compiled and kept before somebody waits for it."""

import os
import tempfile
import time

import ml_dtypes
import numpy as np

import refq.world
from refq.jobs import golden
from refq.jobs.conform import Module
from refq.jobs.generate import Sampling, generate
from refq.jobs.model import load_model
from refq.jobs.plan import Options
from refq.jobs.progress import progress
from refq.jobs.quantize import quantize_model

WORLD = os.path.join(os.path.dirname(refq.world.__file__), "model")
PROMPT = list(range(2, 22))  # long enough for the kernels of many tokens


def warm_up(engine, everything):
    """Do what compiles the kernels.

    Parameters
        engine: refq_fast.
        everything: bool, also what neither quantize nor generate calls: every golden case of every function.
    Returns
        list of (what, seconds).
    """
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        works = {
            "quantize": lambda: _quantize(engine, out),
            "generate": lambda: [_generate(engine, model) for model in (out, WORLD)],
        }
        if everything:
            module = Module(engine)
            works |= {f"{name}()": lambda name=name: _run(module, name) for name in golden.functions()}
        found = []
        with progress(len(works), "parts", "compiling") as advance:
            for name, work in works.items():
                started = time.monotonic()
                work()
                found.append((name, time.monotonic() - started))
                advance(1, name)
    return found


def _quantize(engine, out):
    quantize_model(WORLD, out, engine, Options())
    for dtype in (np.float32, ml_dtypes.bfloat16):  # the model of the package is float16
        engine.rounding.rounded(np.zeros((1, 32), dtype), 4, engine.integer_range(4), 32)


def _generate(engine, model):
    generate(engine, load_model(model, engine), PROMPT, (), Sampling(max_tokens=2), lambda token: None)


def _run(module, name):
    for case in golden.load(name):
        module.run(name, case)
