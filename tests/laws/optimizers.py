"""What the laws of the optimizers share: weights, gradients and states."""

import numpy as np
from hypothesis import strategies as st

from tests.laws.operations import normal, tenths
from tests.support import shapes

SIZES = (1, 31, 8191, 8192, 8193, 70001)  # around the tiles of the kernel


@st.composite
def adam_arguments(draw):
    shape = draw(shapes())
    g = draw(tenths(shape)) * np.float32(draw(st.sampled_from([1, 1e-3, 1e-8])))
    first, second = draw(tenths(shape)), np.abs(draw(tenths(shape)))
    return {
        "w": draw(tenths(shape)),
        "g": g,
        "moments": np.stack([first, second]) * np.float32(draw(st.sampled_from([0, 0.1, 1]))),
        "step": draw(st.integers(1, 30)),
        "learning_rate": draw(st.sampled_from([0.0, 1e-3, 0.1, 1.0])),
        "weight_decay": draw(st.sampled_from([0.0, 0.01, 0.5])),
        "betas": draw(st.sampled_from([(0.9, 0.999), (0.5, 0.75), (0.0, 0.9)])),
        "eps": draw(st.sampled_from([1e-8, 1e-3])),
    }


def adam_edges():
    for seed, size in enumerate(SIZES):
        w, g, m = normal(seed, 3, size)
        yield {"w": w, "g": g, "moments": np.stack([m, m * m]), "step": 3, "learning_rate": 0.01, "weight_decay": 0.1}


def first_step(arguments):
    """The same arguments before anything happened."""
    return arguments | {"moments": np.zeros_like(arguments["moments"]), "step": 1}


def wrong_adam(function, **changed):
    """An Adam in float32 with one mistake: each keyword replaces a step of `steps`."""
    steps = {
        "moments": lambda m, v, g, b1, b2: (b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g),
        "unbias": lambda b1, b2, step: (1 - b1**step, 1 - b2**step),
        "direction": lambda m, v, c1, c2, eps: m / c1 / (np.sqrt(v / c2) + eps),
        "decay": lambda w, u, rate, decay: (1 - rate * decay) * w - rate * u,
        "coupled": lambda w, g, decay: g if function == "adamw" else g + decay * w,
    }
    if function == "adam":
        steps["decay"] = lambda w, u, rate, decay: w - rate * u
    steps |= changed

    def step_of(w, g, moments, step, learning_rate, weight_decay=0.0, betas=(0.9, 0.999), eps=1e-8):
        with np.errstate(all="ignore"):
            g = steps["coupled"](w, g, weight_decay)
            m, v = steps["moments"](*moments, g, *betas)
            u = steps["direction"](m, v, *steps["unbias"](*betas, step), eps)
            return steps["decay"](w, u, learning_rate, weight_decay), np.stack([m, v])

    return step_of


def adam_mistakes(function):
    """The mistakes that both Adams share."""
    return {
        "bias correction forgotten": wrong_adam(function, unbias=lambda b1, b2, step: (1, 1)),
        "only the first moment corrected": wrong_adam(function, unbias=lambda b1, b2, step: (1 - b1**step, 1)),
        "step from 0": wrong_adam(function, unbias=lambda b1, b2, step: (1 - b1 ** (step - 1), 1 - b2 ** (step - 1))),
        "step counted before": wrong_adam(
            function, unbias=lambda b1, b2, step: (1 - b1 ** (step + 1), 1 - b2 ** (step + 1))
        ),
        "eps inside the root": wrong_adam(function, direction=lambda m, v, c1, c2, eps: m / c1 / np.sqrt(v / c2 + eps)),
        "eps before the correction": wrong_adam(
            function, direction=lambda m, v, c1, c2, eps: m / c1 / ((np.sqrt(v) + eps) / np.sqrt(np.float32(c2)))
        ),
        "eps forgotten": wrong_adam(function, direction=lambda m, v, c1, c2, eps: m / c1 / np.sqrt(v / c2)),
        "root forgotten": wrong_adam(function, direction=lambda m, v, c1, c2, eps: m / c1 / (v / c2 + eps)),
        "betas exchanged": wrong_adam(
            function, moments=lambda m, v, g, b1, b2: (b2 * m + (1 - b2) * g, b1 * v + (1 - b1) * g * g)
        ),
        "moments exchanged": wrong_adam(
            function, moments=lambda m, v, g, b1, b2: (b1 * v + (1 - b1) * g, b2 * m + (1 - b2) * g * g)
        ),
        "sums in place of means": wrong_adam(function, moments=lambda m, v, g, b1, b2: (b1 * m + g, b2 * v + g * g)),
        "ascent": wrong_adam(function, decay=lambda w, u, rate, decay: (1 - rate * decay) * w + rate * u),
    }
