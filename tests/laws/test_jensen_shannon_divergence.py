"""Laws of jensen_shannon_divergence."""

import numpy as np
from hypothesis import given

import refq
from tests.laws.losses import kl_bound, mild, pairs
from tests.laws.operations import assert_float64_is_kept, wide
from tests.laws.test_log_softmax import quiet
from tests.support import both

arguments = pairs


@both
@given(arguments())
def test_from_0_to_log_2(engine, arguments):
    loss, within = engine.jensen_shannon_divergence(**arguments), kl_bound(arguments)
    assert np.shape(loss) == arguments["student_logits"].shape[:-1]
    most = np.log(2) * (arguments["temperature"] ** 2 if arguments["squared"] else 1)
    assert ((loss >= -within) & (loss <= most + within)).all()


@both
@given(arguments())
def test_symmetric(engine, arguments):
    student, teacher, *rest = wide(arguments).values()
    loss = engine.jensen_shannon_divergence(student, teacher, *rest)
    np.testing.assert_allclose(loss, engine.jensen_shannon_divergence(teacher, student, *rest), atol=1e-12)


@both
@given(arguments())
def test_mean_of_two_divergences_from_the_mean(engine, arguments):
    student, teacher, temperature, squared = wide(mild(arguments)).values()
    parts = student / temperature, teacher / temperature
    log_m = np.log(sum(map(refq.softmax, parts)) / 2)
    expected = sum(refq.kl_divergence(log_m, part) for part in parts) / 2 * (temperature**2 if squared else 1)
    loss = engine.jensen_shannon_divergence(student, teacher, temperature, squared)
    np.testing.assert_allclose(loss, expected, atol=1e-9)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.jensen_shannon_divergence, mild(arguments))


def _variant(halved=True, of_logits=False, soften=True, power=2):
    def wrong(student_logits, teacher_logits, temperature=1.0, squared=True):
        refq.jensen_shannon_divergence(student_logits, teacher_logits, temperature, squared)
        parts = [x / np.float32(temperature if soften else 1) for x in (student_logits, teacher_logits)]
        m = sum(parts) / 2 if of_logits else np.log(sum(map(refq.softmax, parts)) / 2)
        loss = sum(refq.kl_divergence(m, part) for part in parts)
        return loss * np.float32((0.5 if halved else 1) * temperature ** (power if squared else 0))

    return quiet(wrong)


WRONG = {
    "not halved": _variant(halved=False),
    "mean of logits": _variant(of_logits=True),
    "not softened": _variant(soften=False),
    "never squared": _variant(power=0),
    "times temperature, not squared": _variant(power=1),
    "mean of the two divergences": quiet(
        lambda **arguments: (refq.kl_divergence(**arguments) + refq.reverse_kl_divergence(**arguments)) / np.float32(2)
    ),
    "square root": quiet(lambda **arguments: np.sqrt(refq.jensen_shannon_divergence(**arguments))),
    "bits": lambda **arguments: refq.jensen_shannon_divergence(**arguments) / np.float32(np.log(2)),
}
