"""The losses of torch.nn.functional under our names: one loss a position, gradients by torch's own differentiation."""

import numpy as np
import torch
from torch.nn import functional

__all__ = ["kl_divergence", "kl_divergence_vjp", "reverse_kl_divergence", "reverse_kl_divergence_vjp"]
__all__ += ["jensen_shannon_divergence", "jensen_shannon_divergence_vjp", "kd_kl_and_grad", "top_k_log_probs"]
__all__ += ["top_k_kl", "top_k_kl_vjp", "squared_error", "squared_error_vjp", "cosine_distance", "cosine_distance_vjp"]


def kl_divergence(student_logits, teacher_logits, temperature=1.0, squared=True):
    return _kl(*_tensors(student_logits, teacher_logits), temperature, squared).numpy()


def kl_divergence_vjp(g, student_logits, teacher_logits, temperature=1.0, squared=True):
    return _slope(_kl, g, student_logits, teacher_logits, temperature, squared)


def reverse_kl_divergence(student_logits, teacher_logits, temperature=1.0, squared=True):
    return _reverse(*_tensors(student_logits, teacher_logits), temperature, squared).numpy()


def reverse_kl_divergence_vjp(g, student_logits, teacher_logits, temperature=1.0, squared=True):
    return _slope(_reverse, g, student_logits, teacher_logits, temperature, squared)


def jensen_shannon_divergence(student_logits, teacher_logits, temperature=1.0, squared=True):
    return _jensen_shannon(*_tensors(student_logits, teacher_logits), temperature, squared).numpy()


def jensen_shannon_divergence_vjp(g, student_logits, teacher_logits, temperature=1.0, squared=True):
    return _slope(_jensen_shannon, g, student_logits, teacher_logits, temperature, squared)


def kd_kl_and_grad(student_logits, teacher_logits, targets, weight, alpha=1.0, temperature=1.0, squared=True):
    student, teacher, weight = _tensors(student_logits, teacher_logits, weight)
    student.requires_grad_()
    flat = torch.from_numpy(targets.reshape(-1).astype(np.int64))
    kl = _kl(student, teacher, temperature, squared)
    ce = functional.cross_entropy(student.reshape(-1, student.shape[-1]), flat, reduction="none").reshape(kl.shape)
    (weight * (alpha * kl + (1 - alpha) * ce)).sum().backward()
    return kl.detach().numpy(), ce.detach().numpy(), student.grad.numpy()


def top_k_log_probs(teacher_logits, k, temperature=1.0):
    log_probs = functional.log_softmax(torch.from_numpy(teacher_logits) / temperature, dim=-1)
    values, indices = torch.topk(log_probs, k, dim=-1)
    return values.numpy(), indices.numpy().astype(np.int32)


def top_k_kl(student_logits, teacher_log_probs, indices, temperature=1.0, squared=True, renormalize=True):
    kept = *_tensors(teacher_log_probs, indices.astype(np.int64)), temperature, squared, renormalize
    return _top_k(torch.from_numpy(student_logits), *kept).numpy()


def top_k_kl_vjp(g, student_logits, teacher_log_probs, indices, temperature=1.0, squared=True, renormalize=True):
    rest = indices.astype(np.int64), temperature, squared, renormalize
    return _slope(_top_k, g, student_logits, teacher_log_probs, *rest)


def squared_error(student, teacher):
    return _squared(*_tensors(student, teacher)).numpy()


def squared_error_vjp(g, student, teacher):
    return _slope(_squared, g, student, teacher)


def cosine_distance(student, teacher):
    return _cosine(*_tensors(student, teacher)).numpy()


def cosine_distance_vjp(g, student, teacher):
    return _slope(_cosine, g, student, teacher)


def _kl(student, teacher, temperature, squared):
    log_q, p = functional.log_softmax(student / temperature, dim=-1), functional.softmax(teacher / temperature, dim=-1)
    return functional.kl_div(log_q, p, reduction="none").sum(dim=-1) * (temperature**2 if squared else 1)


def _reverse(student, teacher, temperature, squared):
    return _kl(teacher, student, temperature, squared)


def _jensen_shannon(student, teacher, temperature, squared):
    q, p = (functional.softmax(x / temperature, dim=-1) for x in (student, teacher))
    log_m = torch.log((p + q) / 2)
    parts = (functional.kl_div(log_m, x, reduction="none").sum(dim=-1) for x in (p, q))
    return sum(parts) / 2 * (temperature**2 if squared else 1)


def _top_k(student, log_p, indices, temperature, squared, renormalize):
    student = student / temperature
    if renormalize:
        return _kl(student.gather(-1, indices), log_p, 1, False) * (temperature**2 if squared else 1)
    log_q = functional.log_softmax(student, dim=-1).gather(-1, indices)
    return functional.kl_div(log_q, log_p.exp(), reduction="none").sum(dim=-1) * (temperature**2 if squared else 1)


def _squared(student, teacher):
    return functional.mse_loss(student, teacher, reduction="none").mean(dim=-1)


def _cosine(student, teacher):
    return 1 - functional.cosine_similarity(student, teacher, dim=-1)


def _tensors(*arrays):
    if arrays[0].shape != arrays[1].shape and arrays[0].dtype == arrays[1].dtype:
        raise ValueError("the shapes differ")  # torch would broadcast
    return [torch.from_numpy(array) for array in arrays]


def _slope(function, g, student, teacher, *rest):
    student = torch.from_numpy(student).requires_grad_()
    rest = [torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in (teacher, *rest)]
    (slope,) = torch.autograd.grad(function(student, *rest), student, torch.from_numpy(g))
    return slope.numpy()
