"""Error correction as QLLM's program does it, in torch on transformers' own blocks: equal losses, slopes and steps."""

import numpy as np
import pytest

import refq
from refq.jobs.model import load_model
from refq.training.blocks import with_trainables
from refq.training.reconstruction_recipe import complete
from tests.laws.groups import wider
from tests.support import both

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]  # their warnings are theirs
torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

LAYERS, BITS, STEPS, RATE = 2, 4, 3, 2e-3
SETTINGS = {"layers": list(range(LAYERS)), "bits": BITS, "activations": BITS, "train": ["low_rank", "norms"]}
SETTINGS |= {"learning_rates": {"low_rank": RATE, "norms": RATE}, "steps": 10, "eps": 1e-5}
NEAR = 1e-5  # relative: transformers computes the angles of rope in float32


class Corrected(torch.nn.Module):
    """A linear layer with a rounded weight, rounded tokens, and two factors."""

    def __init__(self, weight, low, high):
        super().__init__()
        scale = (weight.amax(-1, keepdim=True) - weight.amin(-1, keepdim=True)) / (2**BITS - 1)
        scale = scale.half().double()
        offset = (-weight.amin(-1, keepdim=True) / scale).round().clamp(0, 2**BITS - 1)
        self.weight = (((weight / scale).round() + offset).clamp(0, 2**BITS - 1) - offset) * scale
        self.low, self.high = torch.nn.Parameter(low), torch.nn.Parameter(high)

    def forward(self, x):
        lo, hi = x.detach().amin(-1, keepdim=True).clamp(max=0), x.detach().amax(-1, keepdim=True).clamp(min=0)
        scale = (hi - lo) / (2**BITS - 1)
        x = x + ((x / scale).round() * scale - x).detach()
        y = torch.nn.functional.linear(x, self.weight)
        return y + 0.25 * torch.nn.functional.linear(torch.nn.functional.linear(x, self.low), self.high)


def theirs(folder, params):
    """The blocks, and Hugging Face name -> what is trained of them."""
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager")
    model.layers, model.norm, trained = model.layers[:LAYERS], torch.nn.Identity(), {}
    for n, block in enumerate(model.layers):
        for part, module in [*block.named_modules()]:
            name = f"model.layers.{n}.{part}.weight"
            if isinstance(module, torch.nn.Linear):
                factors = (torch.from_numpy(params[name + end].copy()) for end in (".low", ".high"))
                corrected = Corrected(module.weight.detach(), *factors)
                block.get_submodule(part.rpartition(".")[0]).register_module(part.rpartition(".")[2], corrected)
                trained |= {f"{name}.low": corrected.low, f"{name}.high": corrected.high}
            elif part.endswith("norm"):
                trained[name] = module.weight
    return model, trained


@pytest.fixture(scope="module")
def case(data):
    """(folder, params, batch, config) in float64."""
    folder = data / "models/stories260K"
    config, params = load_model(folder, refq)
    params = {name: w for name, w in params.items() if name.startswith(("model.layers.0.", "model.layers.1."))}
    random = np.random.default_rng(3)
    params = with_trainables(params, complete(SETTINGS), 4, random.random, refq)
    for name in params:
        if name.endswith(".high"):
            params[name] = (random.standard_normal(params[name].shape) * 0.1).astype(np.float32)
    batch = {name: random.standard_normal((2, 40, 64)) for name in ("inputs", "targets")}
    return folder, wider(params), batch, config


@both
def test_three_steps(engine, case):
    folder, params, batch, config = case
    model, trained = theirs(folder, params)
    optimizer = torch.optim.AdamW(trained.values(), lr=RATE, weight_decay=0.0, eps=1e-5)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 10)
    state = {}
    for _ in range(STEPS):
        x = model(inputs_embeds=torch.from_numpy(batch["inputs"])).last_hidden_state
        loss = torch.nn.functional.mse_loss(x, torch.from_numpy(batch["targets"]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        params, state, report = engine.reconstruction_step(params, state, batch, config, SETTINGS)
        assert abs(report["loss"] - loss.item()) <= NEAR * loss.item()
        assert set(report["gradients"]) == set(trained)
        for name, w in trained.items():
            g = w.grad.numpy()
            np.testing.assert_allclose(report["gradients"][name], g, rtol=0, atol=NEAR * np.abs(g).max(), err_msg=name)
            np.testing.assert_allclose(params[name], w.detach().numpy(), rtol=0, atol=RATE * 1e-2, err_msg=name)
