"""torch's optimizers under our names: one step from a state that is given."""

import numpy as np
import torch

__all__ = ["sgd", "adam", "adamw"]


def sgd(w, g, velocity, learning_rate, momentum=0.9, weight_decay=0.0):
    tool = lambda weights: torch.optim.SGD(weights, learning_rate, momentum=momentum, weight_decay=weight_decay)
    w, state = _step(tool, w, g, {"momentum_buffer": torch.from_numpy(velocity.copy())})
    return w, state["momentum_buffer"].numpy() if momentum else g + np.float32(weight_decay) * w


def adam(w, g, moments, step, learning_rate, weight_decay=0.0, betas=(0.9, 0.999), eps=1e-8):
    return _adam(torch.optim.Adam, w, g, moments, step, (learning_rate, betas, eps, weight_decay))


def adamw(w, g, moments, step, learning_rate, weight_decay=0.0, betas=(0.9, 0.999), eps=1e-8):
    return _adam(torch.optim.AdamW, w, g, moments, step, (learning_rate, betas, eps, weight_decay))


def _adam(kind, w, g, moments, step, numbers):
    rate, betas, eps, decay = numbers
    tool = lambda weights: kind(weights, lr=rate, betas=tuple(betas), eps=eps, weight_decay=decay)
    first, second = (torch.from_numpy(moment.copy()) for moment in moments)
    state = {"step": torch.tensor(step - 1.0), "exp_avg": first, "exp_avg_sq": second}
    w, state = _step(tool, w, g, state)
    return w, np.stack([state["exp_avg"].numpy(), state["exp_avg_sq"].numpy()])


def _step(tool, w, g, state):
    """The weights and the state after one step."""
    leaf = torch.nn.Parameter(torch.from_numpy(w.copy()))
    leaf.grad = torch.from_numpy(g.copy())
    optimizer = tool([leaf])
    optimizer.state[leaf] = state
    optimizer.step()
    return leaf.detach().numpy(), optimizer.state[leaf]
