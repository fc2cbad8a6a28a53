"""One step of quantization-aware distillation: refq_fast beside PyTorch eager, in one run. Needs `pip install torch`.

python -m benchmarks.training_step [--models 260K 2M 15M] [--threads 1 2] [--rounds 9]

Both sides: forward pass of the float teacher, forward pass of the student whose block linears have 4-bit weights with
learned step sizes (one a row, as float16), KL from the teacher, its gradient, clipping to norm 1, AdamW (PyTorch's
fused). Same weights and tokens, all float32. Gradients are compared with those of PyTorch in float64, which uses the
very codes of float32. One thread: process CPU time; more: wall time. The process keeps freed memory for the next step,
as refq's commands do; both sides are faster so. Memory is the peak of a process of its own, torch's as torch leaves it.
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys

import numba
import numpy as np

import refq_fast
from benchmarks.measure import interleaved, ratio
from refq.app.engine import keep_freed_memory
from refq.app.info import cpu_name

RESULTS = pathlib.Path(__file__).parent / "results"
MODELS = {  # hidden, layers, heads, key/value heads, feed-forward, vocabulary, batch, positions
    "260K": (64, 5, 8, 4, 172, 512, 16, 256),
    "2M": (256, 3, 8, 2, 512, 1024, 16, 256),
    "15M": (288, 6, 6, 6, 768, 32000, 8, 128),
}
RECIPE = {"bits": 4, "learning_rate": 1e-3, "scale_learning_rate": 1e-4, "clip": 1.0, "schedule": "constant"}


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

    def __init__(self, config, teacher, student, tokens, recipe):
        self.config, self.teacher, self.tokens, self.recipe = config, teacher, tokens, recipe
        self.params, self.state = student, {}

    def step(self):
        made = refq_fast.kd_step(self.params, self.state, self._batch(), self.config, self.recipe)
        self.params, self.state, _ = made

    def gradients(self):
        return refq_fast.kd_gradients(self.params, self._batch(), self.config, self.recipe)[1]

    def _batch(self):
        logits = refq_fast.llama_forward(self.teacher, self.tokens, self.config)
        mask = np.ones(self.tokens.shape, bool)
        return {"tokens": self.tokens, "targets": self.tokens, "mask": mask, "teacher_logits": logits}


def compare(model, threads, rounds):
    """A row of the table."""
    numba.set_num_threads(threads)
    given, torch_step = problem(model), _torch_step(threads)
    ours, theirs = Refq(*given, RECIPE), torch_step(*given, RECIPE)
    exact = torch_step(*given, RECIPE, "float64").gradients()
    errors = [distances(side.gradients(), exact) for side in (ours, theirs)]
    del exact
    seconds = interleaved({"refq": ours.step, "PyTorch": theirs.step}, rounds, threads)
    del ours, theirs
    middle, low, high = ratio(seconds["refq"], seconds["PyTorch"])
    cells = [f"{model}, {threads} thread{'s' * (threads > 1)}"]
    cells += [f"{statistics.median(values) * 1e3:.0f} ms" for values in seconds.values()]
    cells += [f"{middle:.2f} ({low:.2f} to {high:.2f})"]
    cells += [f"{steps:.0f} MB ({whole:.0f})" for whole, steps in (peak(side, model, threads) for side in seconds)]
    cells += [f"{whole:.1e}, {worst:.1e}" for whole, worst in errors]
    return f"| {' | '.join(cells)} |"


def distances(found, exact):
    """|found - exact| / |exact|: of all gradients together, and of the tensor where it is largest."""
    parts = [(np.linalg.norm(found[name] - g), np.linalg.norm(g)) for name, g in exact.items()]
    error, size = np.linalg.norm(parts, axis=0)
    return error / size, max(e / s for e, s in parts if s)


def peak(side, model, threads):
    """Megabytes of a process of its own: at its peak over three steps, and how much more that is than before them."""
    command = [sys.executable, "-m", "benchmarks.training_step", "--models", model, "--threads", str(threads)]
    done = subprocess.run([*command, "--memory", side], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def measure_memory(side, model, threads):
    """What `peak` reads."""
    numba.set_num_threads(threads)
    made = (Refq if side == "refq" else _torch_step(threads))(*problem(model), RECIPE)
    before = _megabytes("VmRSS")
    for _ in range(3):
        made.step()
    most = _megabytes("VmHWM")
    print(json.dumps([most, most - before]))


def _torch_step(threads):
    """The other side; imported here, so that the process that measures refq's memory is without torch."""
    import torch

    from benchmarks.torch_step import Torch

    torch.set_num_threads(threads)
    return Torch


def _megabytes(field):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1.024e-3 for line in lines if line.startswith(field))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--memory", choices=["refq", "PyTorch"], help="measure the memory of one side alone")
    options = parser.parse_args()
    if options.memory != "PyTorch":  # whose memory grows by half with it
        keep_freed_memory(2**30, 2**31 - 1)
    if options.memory:
        measure_memory(options.memory, options.models[0], options.threads[0])
        return
    import torch

    lines = [
        f"# A distillation step of refq_fast beside PyTorch {torch.__version__} eager, {datetime.date.today()}",
        "",
        f"{cpu_name()}, {os.cpu_count()} cores, NumPy {np.__version__}, Numba {numba.__version__}.",
        "Times faster: median (quartiles) of interleaved pairs; above 1 refq is faster.",
        f"One thread: process CPU time. More: wall time, here with {os.getloadavg()[0]:.1f} other programs at work.",
        "Memory: peak of a process over three steps, less what it held before them (and the whole process).",
        "Gradients: distance from those in float64, relative: of all together, and of the worst tensor.",
        "",
        "| model | refq | PyTorch | times faster | memory refq | memory PyTorch | gradients refq | gradients PyTorch |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for model in options.models:
        for threads in options.threads:
            lines.append(compare(model, threads, options.rounds))
            print(lines[-1], flush=True)
    path = RESULTS / f"{datetime.date.today()}-training-step.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
