"""Does the transition rate follow its target? A controller on 20,000 weights, beside a plain learning rate.

python -m benchmarks.transition_rate          writes dated figures (JSON) and a picture (PNG, with matplotlib)

Each weight is pulled, at its quantized value, toward a goal of its own, with noise in the gradient. Under a plain
learning rate the weights whose goals lie between two levels never stop crossing the transition point, however small
the rate: on each side they are pulled back to the other. The controller stops them.
"""

import json

import numpy as np

import refq
from benchmarks.dated import dated

COUNT, STEPS, RATE, SPREAD, PULL = 20_000, 8_000, 0.1, 0.3, 0.01
FIRST, LAST = slice(STEPS // 5, STEPS // 2), slice(-STEPS // 20, None)  # 20 to 50 % of the run, and its last 5 %
CASES = [(bits, noise) for noise in (1, 6) for bits in (2, 4)]  # width, noise in steps of the grid
MEMORY = 100  # steps that a running average of momentum 0.99 remembers


def simulate(bits, noise, scheduled, engine=refq, seed=0):
    """A run with a noise of so many steps of the grid: rate, running, target, learning_rate, arrays of STEPS."""
    random = np.random.default_rng(seed)
    (qmin, qmax), scale = engine.integer_range(bits), np.float32(2.0 ** (1 - bits))  # levels from -1 to below 1
    goal, w = SPREAD * random.standard_normal((2, COUNT), np.float32)
    velocity, running, learning_rate, codes = np.zeros_like(w), 0.0, RATE, None
    trace = np.empty((4, STEPS))
    for step in range(STEPS):
        q = engine.quantize(w, scale, 0, qmin, qmax)
        rate, codes = engine.transition_rate(q, q if codes is None else codes), q
        running = engine.running_rate(running, rate)
        target = engine.target_rate(engine.initial_target(bits), step, STEPS)
        if scheduled:
            learning_rate = engine.talr_additive(learning_rate, target, running, RATE)
        else:
            learning_rate = RATE * engine.cosine_schedule(step, STEPS)
        trace[:, step] = rate, running, target, learning_rate
        error = engine.dequantize(q, scale, 0) - goal + noise * scale * random.standard_normal(COUNT, np.float32)
        g = PULL * error  # straight through, clipped weights too: they come back
        w, velocity = engine.sgd(w, g, velocity, learning_rate)
    return dict(zip(("rate", "running", "target", "learning_rate"), trace, strict=True))


def figures(run, plain):
    """How near the running rate is to its target, and how little is left at the end."""
    ratio = run["running"][FIRST] / run["target"][FIRST]
    return {
        "worst_of_100_steps": _short(np.abs(ratio.reshape(-1, MEMORY).mean(axis=1) - 1).max()),
        "worst_step": _short(np.abs(ratio - 1).max()),
        "steps_within_15_percent": _short((np.abs(ratio - 1) <= 0.15).mean()),
        "steps_with_learning_rate_0": _short((run["learning_rate"][FIRST] == 0).mean()),
        "final_rate": _short(run["rate"][LAST].mean()),
        "final_rate_plain": _short(plain["rate"][LAST].mean()),
        "running_over_target": _quarters(run),
        "running_over_target_plain": _quarters(plain),
    }


def _quarters(run):
    """The running rate over its target behind the first, second and third quarter, means of 5 % of the run."""
    ratio = (run["running"] / run["target"]).reshape(20, -1).mean(axis=1)
    return [_short(ratio[part]) for part in (5, 10, 15)]


def _short(value):
    return float(f"{value:.3g}")


def title(bits, noise):
    return f"{bits} bits, noise of {noise} step{'s'[: noise > 1]}"


def main():
    runs = {case: [simulate(*case, scheduled) for scheduled in (True, False)] for case in CASES}
    table = {title(*case): figures(*runs[case]) for case in CASES}
    settings = {"weights": COUNT, "steps": STEPS, "learning_rate": RATE, "eta": RATE, "pull": PULL, "spread": SPREAD}
    path = dated("transition-rate.json")
    path.write_text(json.dumps({"settings": settings, "results": table}, indent=1) + "\n", encoding="utf-8")
    print(path.read_text(encoding="utf-8"))
    draw(runs, path.with_suffix(".png"))


def draw(runs, path):
    """Rate and target above, the learning rate below; a column a case."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(runs), figsize=(4 * len(runs), 6), sharex=True, sharey="row")
    for column, (case, (run, plain)) in zip(axes.T, runs.items(), strict=True):
        for name, trace, colour in (("plain cosine", plain, "tab:orange"), ("scheduled", run, "tab:blue")):
            column[0].plot(np.maximum(trace["running"], 1e-6), color=colour, label=f"running rate, {name}")
            column[1].plot(np.maximum(trace["learning_rate"], 1e-6), color=colour, label=name)
        column[0].plot(run["target"], "k--", linewidth=1, label="target")
        column[0].set_title(title(*case))
        column[1].set_xlabel("step")
        for panel in column:
            panel.set_yscale("log")
            panel.grid(alpha=0.3)
    axes[0, 0].set_ylabel("share of codes that change a step")
    axes[1, 0].set_ylabel("learning rate")
    axes[0, 0].set_ylim(1e-5, 1)
    axes[1, 0].set_ylim(1e-6, 1)
    axes[0, -1].legend(loc="lower left", fontsize=8)
    axes[1, -1].legend(loc="lower left", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
