"""A training step of refq_fast beside PyTorch, eager and compiled, in one run. Needs `pip install torch threadpoolctl`.

python -m benchmarks.training_step [--models 260K 2M 15M] [--steps KD-QAT plain] [--threads 1 2] [--rounds 9]

KD-QAT: forward pass of the float teacher, forward pass of the student whose block linears have 4-bit weights with
learned step sizes (one a row, as float16), KL from the teacher, its gradient, clipping to norm 1, AdamW (PyTorch's
fused). Plain: the same model, float, cross-entropy, no teacher. Same weights and tokens, all float32. The limit is the
matrix products of the step alone. Gradients are compared with those of PyTorch in float64, which uses the very codes of
float32. The process keeps freed memory for the next step, as refq's commands do; both sides are faster so. Memory is
the peak of a process of its own, torch's as torch leaves it. torch.compile is warm: it has compiled before.
"""

import argparse
import functools
import json
import pathlib
import statistics
import subprocess
import sys
from unittest import mock

import numpy as np
import threadpoolctl

import refq_fast
from benchmarks.measure import interleaved
from benchmarks.report import Comparison, leave
from refq.app.engine import keep_freed_memory
from refq.training.recompute import recomputing
from refq_fast import blas

MODELS = {  # hidden, layers, heads, key/value heads, feed-forward, vocabulary, batch, positions
    "260K": (64, 5, 8, 4, 172, 512, 16, 256),
    "2M": (256, 3, 8, 2, 512, 1024, 16, 256),
    "15M": (288, 6, 6, 6, 768, 32000, 8, 128),
}
RECIPE = {"bits": 4, "learning_rate": 1e-3, "scale_learning_rate": 1e-4, "clip": 1.0, "schedule": "constant"}
STEPS = {"KD-QAT": {"losses": {"kl": 1.0}}, "plain": {"losses": {"ce": 1.0}}}
GOALS = {("KD-QAT", "eager"): 2.6, ("KD-QAT", "compiled"): 1.5, ("plain", "eager"): 1.5, ("plain", "compiled"): 1.3}
SIDES = "refq", "recomputing", "eager", "compiled"


def problem(model):
    """(config, teacher, student, tokens) of random numbers: deviation 1 / sqrt(inputs), the embedding is the head."""
    D, layers, H, K, F, V, B, T = MODELS[model]
    d, random = D // H, np.random.default_rng(0)
    config = {"num_hidden_layers": layers, "num_attention_heads": H, "num_key_value_heads": K, "head_dim": d}
    config |= {"rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None}
    shapes = {"self_attn.q_proj": (H * d, D), "self_attn.k_proj": (K * d, D), "self_attn.v_proj": (K * d, D)}
    shapes |= {"self_attn.o_proj": (D, H * d), "mlp.gate_proj": (F, D), "mlp.up_proj": (F, D), "mlp.down_proj": (D, F)}
    teacher, grids = {"model.embed_tokens.weight": random.standard_normal((V, D)) / D**0.5}, {}
    teacher |= {"model.norm.weight": np.ones(D)}
    for layer in range(layers):
        name = f"model.layers.{layer}"
        teacher |= {f"{name}.{norm}_layernorm.weight": np.ones(D) for norm in ("input", "post_attention")}
        for kind, shape in shapes.items():
            w = teacher[f"{name}.{kind}.weight"] = random.standard_normal(shape) / shape[1] ** 0.5
            grids[f"{name}.{kind}.weight_scale"] = (np.abs(w).max(axis=1, keepdims=True) / 7).astype(np.float16)
    teacher, grids = ({name: w.astype(np.float32) for name, w in part.items()} for part in (teacher, grids))
    return config, teacher, teacher | grids, random.integers(0, V, (B, T))


class Refq:
    """The step of refq_fast."""

    def __init__(self, config, teacher, student, tokens, recipe, engine=refq_fast):
        self.config, self.teacher, self.tokens, self.recipe = config, teacher, tokens, recipe
        self.params, self.state, self.engine = student, {}, engine

    def step(self):
        made = refq_fast.kd_step(self.params, self.state, self._batch(), self.config, self.recipe, self.engine)
        self.params, self.state, _ = made

    def gradients(self):
        return refq_fast.kd_gradients(self.params, self._batch(), self.config, self.recipe)[1]

    def _batch(self):
        batch = {"tokens": self.tokens, "targets": self.tokens, "mask": np.ones(self.tokens.shape, bool)}
        if "kl" in self.recipe["losses"]:
            batch["teacher_logits"] = refq_fast.llama_forward(self.teacher, self.tokens, self.config)
        return batch


def made(side, model, step, threads, **options):
    """One of SIDES, ready for a step of STEPS."""
    config, teacher, student, tokens = problem(model)
    given = config, teacher, student if step == "KD-QAT" else teacher, tokens, RECIPE | STEPS[step]
    refq_fast.threads.use(threads)
    if side in ("refq", "recomputing"):
        return Refq(*given, engine=refq_fast if side == "refq" else recomputing(refq_fast))
    import torch  # here, so that the process that measures refq's memory is without it

    from benchmarks.torch_step import Torch

    torch.set_num_threads(threads)
    return Torch(*given, compiled=side == "compiled", **options)


def compare(model, step, threads, rounds):
    """Comparisons of one step with every peer, and a line on gradients and memory."""
    import torch  # noqa: F401 (before Numba starts its threads, after which torch would have one alone)

    sides = {side: made(side, model, step, threads) for side in SIDES}
    exact = made("eager", model, step, threads, dtype="float64").gradients()
    errors = {side: distances(sides[side].gradients(), exact) for side in ("refq", "eager")}
    del exact
    products, known = [], blas.product
    with mock.patch.object(blas, "product", lambda *given: products.append(given) or known(*given)):
        sides["refq"].step()
    works = {side: made.step for side, made in sides.items()}
    works |= {"products": lambda: [known(*given) for given in products]}
    works |= {"numpy": functools.partial(_of_numpy, products, threads)}
    seconds = interleaved(works, rounds, threads)
    floor, work = 1 / statistics.median(seconds["products"]), f"{step} step, {model}"
    found = [
        Comparison(work, threads, f"torch {side}", seconds["refq"], seconds[side], 1, "steps", GOALS[step, side], floor)
        for side in ("eager", "compiled")
    ]
    found += [
        Comparison(work, threads, "refq recomputing", seconds["refq"], seconds["recomputing"], 1, "steps", None, floor),
        Comparison(f"products of it, {model}", threads, "numpy", seconds["products"], seconds["numpy"], 1, "steps"),
    ]
    memory = ", ".join(
        f"{side} {steps:.0f} MB ({whole:.0f})"
        for side, (whole, steps) in ((side, peak(side, model, step, threads)) for side in SIDES)
    )
    distance = ", ".join(f"{side} {whole:.1e} (worst tensor {worst:.1e})" for side, (whole, worst) in errors.items())
    return found, f"{work}, threads {threads}: memory {memory}; gradients {distance}."


def _of_numpy(products, threads):
    """The same products by NumPy's BLAS, which shares each out as it likes."""
    with threadpoolctl.threadpool_limits(threads, user_api="blas"):
        for a, b, *_ in products:
            np.matmul(a, b)


def distances(found, exact):
    """|found - exact| / |exact|: of all gradients together, and of the tensor where it is largest."""
    parts = [(np.linalg.norm(found[name] - g), np.linalg.norm(g)) for name, g in exact.items()]
    error, size = np.linalg.norm(parts, axis=0)
    return error / size, max(e / s for e, s in parts if s)


def peak(side, model, step, threads):
    """Megabytes of a process of its own: at its peak over three steps, and how much more that is than before them."""
    command = [sys.executable, "-m", "benchmarks.training_step", "--memory", side, "--models", model, "--steps", step]
    done = subprocess.run([*command, "--threads", str(threads)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def measure_memory(side, model, step, threads):
    """What `peak` reads."""
    worker = made(side, model, step, threads)
    before = _megabytes("VmRSS")
    for _ in range(3):
        worker.step()
    most = _megabytes("VmHWM")
    print(json.dumps([most, most - before]))


def _megabytes(field):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1.024e-3 for line in lines if line.startswith(field))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--memory", choices=SIDES, help="measure the memory of one side alone")
    options = parser.parse_args()
    comparisons, notes = [], NOTES
    if options.memory not in ("eager", "compiled"):  # whose memory grows by half with it
        keep_freed_memory(2**30, 2**31 - 1)
    if options.memory:
        measure_memory(options.memory, options.models[0], options.steps[0], options.threads[0])
        return
    for model in options.models:
        for step in options.steps:
            for threads in options.threads:
                found, line = compare(model, step, threads, options.rounds)
                comparisons, notes = comparisons + found, [*notes, line]
                print(line, flush=True)
    leave("training-step", "A training step of refq_fast beside PyTorch", notes, comparisons, ["torch"])


NOTES = [
    "The limit of a step is its matrix products alone, as refq_fast computes them: by pieces that are a function of",
    "the shape, so that no bit depends on the threads; beside them the same by NumPy's BLAS, cut as it likes.",
    "The process keeps freed memory, where the C library gives large arrays back each time.",
    "Memory: peak over three steps, less what the process held before them (and the whole process).",
    "Gradients: distance from those in float64, relative.",
]


if __name__ == "__main__":
    main()
