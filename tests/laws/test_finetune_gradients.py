"""Laws of finetune_gradients."""

import numpy as np
from hypothesis import given

import refq
from refq.training import codebook_student, finetune
from refq.training.codebook_student import CODEBOOK, INDEX
from tests.laws.codebook_students import finetune_arguments, float_student
from tests.laws.students import doubled, nested_bound, noise, with_operations, with_part, with_settings
from tests.support import both

arguments = finetune_arguments


def bound(arguments, expected):
    exact = refq.finetune_gradients(**doubled(arguments))
    return nested_bound(expected, exact, noise(exact[0]["used"]))


@both
@given(arguments())
def test_what_has_a_gradient(engine, arguments):
    report, gradients = engine.finetune_gradients(**arguments)
    params = arguments["params"]
    latent = {name for name in params if name + CODEBOOK in params}
    due = {n for n in params if not n.endswith(INDEX)} - {name + CODEBOOK for name in latent}
    if "scores" in arguments["batch"]:
        due = {name for name in due if not name.startswith(("pooler.", "classifier."))}
    assert set(gradients) == due
    assert all(g.shape == params[name].shape and g.dtype == params[name].dtype for name, g in gradients.items())
    assert set(report["used"]) == {name.removesuffix(CODEBOOK) for name in due}


@both
@given(arguments())
def test_the_mean_times_the_members_is_the_sum(engine, arguments):
    found = [engine.finetune_gradients(**arguments | {"recipe": {"reduce": how}}) for how in ("mean", "sum")]
    (report, means), (same, sums) = found
    assert report["losses"] == same["losses"]
    for name, g in sums.items():
        members = 1
        if name.endswith(CODEBOOK):
            index = arguments["params"][name.removesuffix(CODEBOOK) + INDEX]
            members = np.bincount(index.reshape(-1), minlength=4)
        np.testing.assert_allclose(means[name] * members, g, rtol=1e-5, atol=noise(report["used"]))


@both
@given(arguments())
def test_looked_up_it_is_a_float_model(engine, arguments):
    """Of the same loss, and the dense gradients are those of the weights in use."""
    report, _ = engine.finetune_gradients(**arguments)
    same, dense = engine.finetune_gradients(**arguments | {"params": float_student(arguments["params"])})
    assert same["losses"] == report["losses"]
    np.testing.assert_equal(dense, report["used"])


@both
@given(arguments())
def test_the_order_of_the_entries_does_not_matter(engine, arguments):
    params, turned = arguments["params"], dict(arguments["params"])
    names = [name.removesuffix(INDEX) for name in params if name.endswith(INDEX)]
    for name in names:
        turned[name + CODEBOOK], turned[name + INDEX] = params[name + CODEBOOK][:, ::-1], 3 - params[name + INDEX]
    report, gradients = engine.finetune_gradients(**arguments)
    same, others = engine.finetune_gradients(**arguments | {"params": turned})
    assert same["losses"] == report["losses"]
    for name in [name for name in names if name + CODEBOOK in gradients]:
        np.testing.assert_array_equal(others[name + CODEBOOK][:, ::-1], gradients[name + CODEBOOK])


@both
@given(arguments())
def test_nothing_that_is_given_changes(engine, arguments):
    before = {name: array.copy() for name, array in arguments["params"].items()}
    engine.finetune_gradients(**arguments)
    np.testing.assert_equal(arguments["params"], before)


def _lookup_vjp(change):
    """Another rule for the gradient of a codebook."""
    return with_operations("finetune_gradients", codebook_lookup_vjp=change)


def _seen_members(g, index, codebook, reduce):
    """Only rows with a gradient count."""
    seen = np.any(g != 0, axis=1)
    return refq.codebook_lookup_vjp(g[seen], index[seen], codebook, reduce)


def _all_numbers(g, index, codebook, reduce):
    sums = refq.codebook_lookup_vjp(g, index, codebook, "sum")
    return sums / np.float32(index.size / codebook.size) if reduce == "mean" else sums


def _per_row(g, index, codebook, reduce):
    rows = [refq.codebook_lookup_vjp(a[None], b[None], codebook, reduce) for a, b in zip(g, index, strict=True)]
    return np.mean(rows, axis=0) if reduce == "mean" else np.sum(rows, axis=0)


def _batch(change):
    return lambda params, batch, config, recipe: refq.finetune_gradients(params, change(batch), config, recipe)


def _one_use(params, batch, config, recipe):
    """A tied head, or the other layers of a shared one, give no gradient."""
    if "targets" in batch and "lm_head.weight" not in params:
        head = float_student(params)["model.embed_tokens.weight"]
        report, gradients = refq.finetune_gradients(params | {"lm_head.weight": head}, batch, config, recipe)
        return report | {"used": _without(report["used"])}, _without(gradients)
    return refq.finetune_gradients(params, batch, config | {"num_hidden_layers": 1}, recipe)


def _without(arrays):
    return {name: array for name, array in arrays.items() if name != "lm_head.weight"}


def _every_token(hidden, mask):
    return finetune.mean_pooled(hidden, np.ones_like(mask))


def _no_step(groups, codebook):
    codebook, index = refq.lloyd(groups, codebook, 0)
    return refq.codebook_lookup(index, codebook), codebook, index


def _anew(groups, codebook):
    codebook, index = refq.lloyd(groups, codebook, 3)
    return refq.codebook_lookup(index, codebook), codebook, index


def _codebooks_too(params, batch, config, recipe):
    report, gradients = refq.finetune_gradients(params, batch, config, recipe)
    extra = {n + CODEBOOK: np.zeros_like(params[n + CODEBOOK]) for n in params if n + CODEBOOK in params}
    return report, gradients | extra


def _zeros_for_the_pooler(params, batch, config, recipe):
    report, gradients = refq.finetune_gradients(params, batch, config, recipe)
    rest = {n: np.zeros_like(w) for n, w in params.items() if n.startswith(("pooler.", "classifier."))}
    return report, {n: w for n, w in rest.items() if not n.endswith(INDEX)} | gradients


WRONG = {
    "always the mean": with_settings("finetune_gradients", lambda recipe: {"reduce": "mean"}),
    "always the sum": with_settings("finetune_gradients", lambda recipe: {"reduce": "sum"}),
    "rows outside the batch are not counted": _lookup_vjp(_seen_members),
    "every entry has as many members": _lookup_vjp(_all_numbers),
    "the mean of the rows' means": _lookup_vjp(_per_row),
    "entries in float32 in the forward pass": with_part(
        "finetune_gradients", codebook_student, "half", lambda codebook: codebook
    ),
    "one use of a shared weight counts": _one_use,
    "states of padding in the mean": with_part("finetune_gradients", finetune, "mean_pooled", _every_token),
    "padded targets count": _batch(
        lambda batch: batch | {"mask": np.ones_like(batch["mask"])} if "targets" in batch else batch
    ),
    "scores are distances": _batch(
        lambda batch: batch | {"scores": 1 - batch["scores"]} if "scores" in batch else batch
    ),
    "pairs are neighbours": _batch(
        lambda batch: batch | {n: batch[n][np.argsort(np.arange(len(batch["mask"])) % 2)] for n in ("tokens", "mask")}
    ),
    "types forgotten": _batch(lambda batch: {n: a for n, a in batch.items() if n != "types"}),
    "requantized without a step": with_operations("finetune_gradients", ste_requantize=_no_step),
    "requantized by many steps": with_operations("finetune_gradients", ste_requantize=_anew),
    "codebooks of latent weights have gradients": _codebooks_too,
    "the pooler has a gradient of 0": _zeros_for_the_pooler,
    "the derivative of a requantized weight is 0": lambda **arguments: _blocked(*refq.finetune_gradients(**arguments)),
}


def _blocked(report, gradients):
    latent = {n for n in report["stored"] if n.endswith(CODEBOOK) and n not in gradients}
    return report, {n: np.zeros_like(g) if n + CODEBOOK in latent else g for n, g in gradients.items()}
