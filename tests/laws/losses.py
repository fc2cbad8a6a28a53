"""What the laws of the distillation losses share: inputs, and what float32 may cost."""

import numpy as np
from hypothesis import strategies as st

import refq
from tests.laws.operations import EDGES, cost, normal, softmax_cost, tenths
from tests.support import int_arrays

SHAPES = [(), (1,), (3,), (2, 2), (0,)]
TEMPERATURES = [1.0, 2.0, 0.5, 0.7, 3.0, 1 / 1024, 1024.0]


@st.composite
def pairs(draw, reach=60):
    """Arguments of a divergence."""
    shape = (*draw(st.sampled_from(SHAPES)), draw(st.integers(1, 5)))
    return {
        "student_logits": draw(tenths(shape, reach)),
        "teacher_logits": draw(tenths(shape, reach)),
        "temperature": draw(st.sampled_from(TEMPERATURES)),
        "squared": draw(st.booleans()),
    }


def mild(arguments):
    """The same call away from the ends of the temperature: the square of the largest magnifies every rounding."""
    return arguments | {"temperature": min(max(arguments["temperature"], 0.5), 3.0)}


def pair_edges():
    """Large arguments of a divergence, of sizes around the kernels' vectors and pieces."""
    for i, shape in enumerate((*EDGES, (3, 131072))):
        yield {
            "student_logits": normal(1, *shape) * 3,
            "teacher_logits": normal(2, *shape) * 3,
            "temperature": TEMPERATURES[i % 3],
            "squared": i % 2 == 0,
        }


@st.composite
def pairs_with_g(draw):
    """Arguments of the gradient of a divergence."""
    forward = draw(pairs())
    return {"g": draw(tenths(forward["student_logits"].shape[:-1]))} | forward


def pair_edges_with_g():
    for forward in pair_edges():
        yield {"g": normal(4, len(forward["student_logits"]))} | forward


@st.composite
def states(draw):
    """Arguments of a distance of states; some of length 0."""
    shape = (*draw(st.sampled_from(SHAPES)), draw(st.integers(1, 5)))
    return {"student": draw(tenths(shape)), "teacher": draw(tenths(shape))}


@st.composite
def states_with_g(draw):
    forward = draw(states())
    return {"g": draw(tenths(forward["student"].shape[:-1]))} | forward


@st.composite
def maps(draw):
    """Attention scores, some hidden."""
    student, teacher = draw(states()).values()
    for scores in (student, teacher):
        scores[draw(int_arrays(scores.shape, 0, 3)) == 0] = draw(st.sampled_from([-np.inf, -100, -1e4]))
    return {"student_scores": student, "teacher_scores": teacher}


@st.composite
def maps_with_g(draw):
    forward = draw(maps())
    return {"g": draw(tenths(forward["student_scores"].shape[:-1]))} | forward


def kl_bound(forward):
    """Each logarithm may be off by what its logits and the sum cost; any probability may weigh any of them."""
    student, teacher, temperature, squared = complete(forward)
    reach = (np.abs(student).max(axis=-1) + np.abs(teacher).max(axis=-1)) / temperature
    return cost((reach + 4) * (temperature**2 if squared else 1), student.shape[-1] + 40)


def kl_vjp_bound(g, forward):
    """Relative in the two probabilities, so that a mistake in one class of a thousand does not hide."""
    student, teacher, temperature, squared = complete(forward)
    size = np.zeros(student.shape)
    for logits in (student, teacher):
        logits = logits.astype(np.float64) / temperature
        offset = np.abs(logits).max(axis=-1, keepdims=True)
        size += refq.softmax(logits) * (softmax_cost(logits) + 2 * offset)
    return cost(np.abs(g)[..., None] * size * (temperature if squared else 1 / temperature), 1) + 2.0**-140


def divergence_call(g, student, teacher, temperature, squared):
    """Arguments of the gradient of a divergence, of one position."""
    logits = {"student_logits": np.float32([student]), "teacher_logits": np.float32([teacher])}
    return {"g": np.float32([g])} | logits | {"temperature": temperature, "squared": squared}


def assert_shares_cancel(gstudent, g, temperature, squared, **_):
    """The classes of g * factor / temperature * (q - p) add up to 0.

    But for V roundings of each of two sums of probabilities, and for those of the difference and its product.
    """
    assert_cancel(gstudent, slope(g, temperature, squared), gstudent.shape[-1] + 2)


def assert_centred(gstudent, g, log_q, log_reference, temperature, squared):
    """The classes of g * factor / temperature * q * (r - sum q * r) add up to 0, with r = log q - log_reference.

    But for V roundings of the sum of products, V more of that of q, which is 1, and what exp and log are off there, of
    numbers that are log V on average; those of the difference and its products count twice, as r and as sum q * r.
    """
    classes = gstudent.shape[-1]
    spread = (np.exp(log_q) * np.abs(log_q - log_reference)).sum(axis=-1, dtype=np.float64)
    assert_cancel(gstudent, slope(g, temperature, squared) * spread, classes + 3 * np.log(classes) + 8)


def assert_cancel(gstudent, magnitude, roundings):
    assert (np.abs(gstudent.sum(axis=-1, dtype=np.float64)) <= cost(magnitude, roundings)).all()


def logarithms(student, teacher, temperature):
    """Those of the probabilities of both, in float32."""
    return [refq.log_softmax(logits / np.float32(temperature)) for logits in (student, teacher)]


def slope(g, temperature, squared):
    """What the gradients of a divergence are multiplied by."""
    return np.abs(g) * (temperature if squared else 1 / temperature)


def complete(forward):
    """Both logits, temperature and squared, the last two as they are by default."""
    student, teacher, *_ = forward.values()
    return student, teacher, forward.get("temperature", 1.0), forward.get("squared", True)
