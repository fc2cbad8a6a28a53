"""Are 100 steps those of torch? Optimizers, clipping, warm-up and decay, in float64."""

import numpy as np
import pytest

from tests.support import both

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]  # their warnings are theirs
torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

STEPS, WARMUP, RATE, DECAY, MAX_NORM, EQUAL = 100, 10, 0.03, 0.05, 2.0, 1e-12
SHAPES = {"q_proj.weight": (7, 5), "norm.weight": (5,), "lm_head.weight": (3, 5)}
OPTIMIZERS = {
    "sgd": lambda weights: torch.optim.SGD(weights, RATE, momentum=0.9, weight_decay=DECAY),
    "adam": lambda weights: torch.optim.Adam(weights, RATE, weight_decay=DECAY),
    "adamw": lambda weights: torch.optim.AdamW(weights, RATE, weight_decay=DECAY),
}
SCHEDULES = {
    "cosine": lambda optimizer: transformers.get_cosine_schedule_with_warmup(optimizer, WARMUP, STEPS),
    "linear": lambda optimizer: transformers.get_linear_schedule_with_warmup(optimizer, WARMUP, STEPS),
    "step": lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _steps(step)),
}


@both
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run(engine, optimizer, schedule):
    ours, theirs = _start(), {name: torch.nn.Parameter(torch.from_numpy(w)) for name, w in _start().items()}
    states = {name: np.zeros(w.shape if optimizer == "sgd" else (2, *w.shape)) for name, w in ours.items()}
    tool = OPTIMIZERS[optimizer](list(theirs.values()))
    scheduler = SCHEDULES[schedule](tool)
    clipped = 0
    for step in range(STEPS):
        expected = _torch_step(theirs, tool, scheduler, step)
        gradients, norm = engine.clip_gradients(_gradients(ours, step), MAX_NORM)
        rate = RATE * _multiplier(engine, schedule, step)
        for name, g in gradients.items():
            count = () if optimizer == "sgd" else (step + 1,)
            update = getattr(engine, optimizer)
            ours[name], states[name] = update(ours[name], g, states[name], *count, rate, weight_decay=DECAY)
        assert norm == pytest.approx(expected, rel=EQUAL)
        for name, w in ours.items():
            np.testing.assert_allclose(w, theirs[name].detach().numpy(), rtol=0, atol=EQUAL, err_msg=f"{step} {name}")
        clipped += norm > MAX_NORM
    assert 10 < clipped < STEPS - 10  # both sides of the clipping were seen


@both
def test_drops_are_milestones(engine):
    tool = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(tool, [20, 50], 0.3)
    for step in range(STEPS):
        assert engine.step_schedule(step, STEPS, 0, (20, 50), 0.3) == pytest.approx(scheduler.get_last_lr()[0])
        tool.step()
        scheduler.step()


def _multiplier(engine, schedule, step):
    if schedule == "step":
        return engine.step_schedule(step, STEPS, WARMUP, (30, 60), 0.5)
    return getattr(engine, f"{schedule}_schedule")(step, STEPS, WARMUP)


def _steps(step):
    return step / WARMUP if step < WARMUP else 0.5 ** ((step >= 30) + (step >= 60))


def _start():
    random = np.random.default_rng(5)
    return {name: random.standard_normal(shape) for name, shape in SHAPES.items()}


def _gradients(weights, step):
    """A pull to 0 and a noise that falls: clipped at first, not at the end."""
    random = np.random.default_rng(step)
    return {name: 0.1 * w + random.standard_normal(w.shape) * 0.6 ** (step / 20) for name, w in weights.items()}


def _torch_step(weights, tool, scheduler, step):
    """One step of torch; gives the norm before the clipping."""
    found = _gradients({name: w.detach().numpy() for name, w in weights.items()}, step)
    for name, w in weights.items():
        w.grad = torch.from_numpy(found[name])
    norm = torch.nn.utils.clip_grad_norm_(list(weights.values()), MAX_NORM)
    tool.step()
    scheduler.step()
    return float(norm)
