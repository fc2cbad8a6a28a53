"""The distillation losses at 50 digits."""

from tools.oracle.numbers import Array, Bounded, rows
from tools.oracle.ops import bounded_list, dot, softmax_row
from tools.oracle.reals import Real, bounded, constant, exp, gradients, lift, log, shifted, sqrt, total


def kl_divergence(student_logits, teacher_logits, temperature=1, squared=True):
    return _loss(forward, student_logits, teacher_logits, temperature, squared)


def kl_divergence_vjp(g, student_logits, teacher_logits, temperature=1, squared=True):
    return _gradient(forward, g, student_logits, teacher_logits, temperature, squared)


def reverse_kl_divergence(student_logits, teacher_logits, temperature=1, squared=True):
    return _loss(reverse, student_logits, teacher_logits, temperature, squared)


def reverse_kl_divergence_vjp(g, student_logits, teacher_logits, temperature=1, squared=True):
    return _gradient(reverse, g, student_logits, teacher_logits, temperature, squared)


def jensen_shannon_divergence(student_logits, teacher_logits, temperature=1, squared=True):
    return _loss(jensen_shannon, student_logits, teacher_logits, temperature, squared)


def jensen_shannon_divergence_vjp(g, student_logits, teacher_logits, temperature=1, squared=True):
    return _gradient(jensen_shannon, g, student_logits, teacher_logits, temperature, squared)


def reduce_loss(losses, mask, reduction="token_mean"):
    return bounded(reduced(lift(losses), mask, reduction))


def reduce_loss_vjp(g, losses, mask, reduction="token_mean"):
    [glosses] = gradients(lambda losses: reduced(losses, mask, reduction), g, (losses,))
    return bounded(glosses)


def kd_kl_and_grad(student_logits, teacher_logits, targets, weight, alpha=1, temperature=1, squared=True):
    kept = [i for i, w in enumerate(weight.data) if w]
    V = student_logits.shape[-1]

    def losses(student):
        kl = [
            forward(*pair, temperature, squared) for pair in zip(rows(student), rows(lift(teacher_logits)), strict=True)
        ]
        ce = [-log_softmax_row(row)[y] for row, y in zip(rows(student), targets.data, strict=True)]
        return [[v if i in kept else Real(0) for i, v in enumerate(part)] for part in (kl, ce)]

    def mixed(student):
        terms = zip(*losses(student), lift(weight).data, strict=True)
        share = constant(alpha) if alpha not in (0, 1) else Real(alpha)
        return Array("float32", (), [total([w * (share * kl + (Real(1) - share) * ce) for kl, ce, w in terms])])

    [glogits] = gradients(mixed, Array("float32", (), [1]), (student_logits,))
    zeros = [r if i // V in kept else Real(0) for i, r in enumerate(glogits.data)]
    kl, ce = (Array("float32", weight.shape, part) for part in losses(lift(student_logits)))
    return bounded_list([kl, ce, glogits._replace(data=zeros)])


def top_k_log_probs(teacher_logits, k, temperature=1):
    teacher, log_probs, indices = lift(teacher_logits), [], []
    for row in rows(teacher):
        order = sorted(range(len(row)), key=lambda i: (-row[i].value, i))[:k]
        log_p = log_softmax_row(_over(row, temperature))
        log_probs += [log_p[i] for i in order]
        indices += order
    shape = (*teacher.shape[:-1], k)
    log_probs, within = bounded(Array("float32", shape, log_probs))
    return Bounded([log_probs, Array("int32", shape, indices)], [within, Array("float32", shape, [0] * len(indices))])


def top_k_kl(student_logits, teacher_log_probs, indices, temperature=1, squared=True, renormalize=True):
    kept = lift(teacher_log_probs), indices, temperature, squared, renormalize
    return bounded(top_k_kl_of(lift(student_logits), *kept))


def top_k_kl_vjp(g, student_logits, teacher_log_probs, indices, temperature=1, squared=True, renormalize=True):
    kept = lift(teacher_log_probs), indices, temperature, squared, renormalize
    [gstudent] = gradients(lambda student: top_k_kl_of(student, *kept), g, (student_logits,))
    return bounded(gstudent)


def squared_error(student, teacher):
    return _loss(error_row, student, teacher)


def squared_error_vjp(g, student, teacher):
    return _gradient(error_row, g, student, teacher)


def cosine_distance(student, teacher):
    return _loss(cosine_row, student, teacher)


def cosine_distance_vjp(g, student, teacher):
    return _gradient(cosine_row, g, student, teacher)


def attention_map_error(student_scores, teacher_scores):
    return _loss(map_row, student_scores, teacher_scores)


def attention_map_error_vjp(g, student_scores, teacher_scores):
    return _gradient(map_row, g, student_scores, teacher_scores)


def log_softmax_row(row):
    """Log-probabilities of a list."""
    differences = shifted(row)
    whole = log(total([exp(r) for r in differences]))
    return [r - whole for r in differences]


def forward(student, teacher, temperature, squared):
    log_q, log_p = (log_softmax_row(_over(row, temperature)) for row in (student, teacher))
    return _factor(_expectation(softmax_row(_over(teacher, temperature)), log_p, log_q), temperature, squared)


def reverse(student, teacher, temperature, squared):
    return forward(teacher, student, temperature, squared)


def jensen_shannon(student, teacher, temperature, squared):
    logs = [log_softmax_row(_over(row, temperature)) for row in (student, teacher)]
    powers = [softmax_row(_over(row, temperature)) for row in (student, teacher)]
    means = [a + b for a, b in zip(*powers, strict=True)]
    log_m = [log(m / Real(2)) if m.value else Real(0) for m in means]
    both = total([_expectation(p, log_p, log_m) for p, log_p in zip(powers, logs, strict=True)])
    return _factor(both / Real(2), temperature, squared)


def _expectation(p, log_a, log_b):
    """A class of probability 0 adds nothing."""
    return total([w * (a - b) for w, a, b in zip(p, log_a, log_b, strict=True) if w.value] or [Real(0)])


def top_k_kl_of(student, log_probs, indices, temperature, squared, renormalize):
    data = []
    for row, log_p, at in zip(rows(student), rows(log_probs), rows(indices), strict=True):
        row = _over(row, temperature)
        if renormalize:
            log_q, log_p, p = log_softmax_row([row[i] for i in at]), log_softmax_row(log_p), softmax_row(log_p)
        else:
            log_q, p = log_softmax_row(row), [exp(v) for v in log_p]
            log_q = [log_q[i] for i in at]
        data.append(_factor(_expectation(p, log_p, log_q), temperature, squared))
    return Array("float32", student.shape[:-1], data)


def error_row(student, teacher):
    differences = [s - t for s, t in zip(student, teacher, strict=True)]
    return dot(differences, differences) / Real(len(student))


def cosine_row(student, teacher):
    return Real(1) - dot(_direction(student), _direction(teacher))


def _direction(row):
    length = sqrt(dot(row, row))
    return [v / length for v in row] if length.value else [Real(0)] * len(row)


def map_row(student, teacher):
    return error_row(*([v if v.value > -100 else Real(0) for v in row] for row in (student, teacher)))


def _over(row, temperature):
    return row if temperature == 1 else [r / constant(temperature) for r in row]


def _factor(loss, temperature, squared):
    return loss * constant(temperature) * constant(temperature) if squared and temperature != 1 else loss


def _loss(divergence, student, teacher, *rest):
    return bounded(by_row(divergence, lift(student), lift(teacher), *rest))


def _gradient(divergence, g, student, teacher, *rest):
    teacher = lift(teacher)
    [gstudent] = gradients(lambda student: by_row(divergence, student, teacher, *rest), g, (student,))
    return bounded(gstudent)


def by_row(function, student, teacher, *rest):
    data = [function(s, t, *rest) for s, t in zip(rows(student), rows(teacher), strict=True)]
    return Array("float32", student.shape[:-1], data)


def reduced(losses, mask, reduction):
    kept = [loss for loss, keep in zip(losses.data, mask.data, strict=True) if keep]
    count = len(kept) if reduction == "token_mean" else losses.shape[0]
    return Array("float32", (), [total(kept or [Real(0)]) / Real(count)])
