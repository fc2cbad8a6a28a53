"""GPTQ in PyTorch as the paper's algorithm 1 has it: the peer of refq's gptq. Written from the paper."""

import torch


def torch_gptq(w, hessian, scale, qmin=-8, qmax=7, damping=0.01, block=128):
    """Reals on symmetric grids of w (out, in): scale (out, groups), inputs as they come, in the dtype of w."""
    w, size = w.clone(), w.shape[1] // scale.shape[1]
    damped = hessian + damping * hessian.diagonal().mean() * torch.eye(len(hessian), dtype=w.dtype)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor = torch.linalg.cholesky(inverse, upper=True)
    for start in range(0, w.shape[1], block):
        stop = min(start + block, w.shape[1])
        now, errors = w[:, start:stop].clone(), torch.empty_like(w[:, start:stop])
        for j in range(stop - start):
            row = factor[start + j, start + j : stop]
            s = scale[:, (start + j) // size]
            chosen = torch.clamp(torch.round(now[:, j] / s), qmin, qmax) * s
            errors[:, j] = (now[:, j] - chosen) / row[0]
            now[:, j:] -= errors[:, j, None] * row
            w[:, start + j] = chosen
        w[:, stop:] -= errors @ factor[start:stop, stop:]
    return w
