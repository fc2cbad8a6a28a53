"""The tape: gradients of a whole model, and what the page promises beside."""

import numpy as np
import pytest

import refq
import refq_fast
from refq import tape
from refq.errors import DtypeError, ShapeError
from refq.training.recompute import recomputing
from tests.laws.models import seeded_model, wide
from tests.support import both

TOKENS = np.array([[1, 5, 3, 3, 9, 0, 2], [4, 4, 10, 8, 1, 6, 7]])
TARGETS = np.roll(TOKENS, -1, axis=1)
SIZES = {"layers": 3, "K": 2, "R": 2, "d": 4, "D": 16, "F": 24, "biases": "qv"}


@pytest.fixture(scope="module")
def model():
    params, config = seeded_model(4, **SIZES)
    return wide(params), config


def total_loss(params, config, ops):
    return ops.cross_entropy(refq.llama_forward(params, TOKENS, config, ops), TARGETS)


def gradients(engine, params, config, ops=None):
    leaves = {name: tape.Tensor(w) for name, w in params.items()}
    loss = total_loss(leaves, config, ops or tape.lift(engine))
    return dict(zip(leaves, tape.backward([(loss, np.ones_like(loss.value))], list(leaves.values())), strict=True))


def slopes(engine, params, config, found):
    """The change of the loss along one random direction: by the gradients found, and by differences."""
    random = np.random.default_rng(2)
    along = {name: random.standard_normal(w.shape) for name, w in params.items()}

    def at(h):
        return total_loss({name: w + h * along[name] for name, w in params.items()}, config, engine).sum()

    h = 1e-5
    numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    return sum((found[name] * along[name]).sum() for name in params), numeric


@both
def test_the_gradient_of_a_whole_model_is_right(engine, model):
    params, config = model
    analytic, numeric = slopes(engine, params, config, gradients(engine, params, config))
    assert abs(analytic - numeric) <= 1e-8 * abs(numeric)


OPERATIONS = ["embed", "linear", "rms_norm", "rope", "causal_attention", "swiglu", "cross_entropy"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_broken_rule_is_noticed(name, model):
    class Broken:
        def __getattr__(self, wanted):
            function = getattr(refq, wanted)
            if wanted != f"{name}_vjp":
                return function

            def broken(*args):
                found = function(*args)
                first, *rest = found if isinstance(found, tuple) else (found,)
                return first * (1 + 1e-5), *rest

            return broken

    params, config = model
    found = gradients(refq, params, config, tape.lift(Broken()))
    analytic, numeric = slopes(refq, params, config, found)
    assert abs(analytic - numeric) > 1e-8 * abs(numeric)


def test_the_fast_gradient_in_float32_is_near_that_in_float64():
    params, config = seeded_model(4, **SIZES | {"D": 64, "K": 4, "d": 8, "F": 172})
    exact, fast = gradients(refq, wide(params), config), gradients(refq_fast, params, config)
    assert all(g.dtype == np.float32 for g in fast.values())
    difference = sum(((fast[name] - g) ** 2).sum() for name, g in exact.items())
    assert difference <= 1e-10 * sum((g * g).sum() for g in exact.values())


def test_a_tensor_that_is_used_twice_collects_both():
    x = tape.Tensor(np.float64([1.0, 2.0]))
    y = x + x
    [g] = tape.backward([(y, np.float64([1.0, 10.0]))], [x])
    assert g.tolist() == [2, 20]


def test_several_seeds_add_up():
    x = tape.Tensor(np.float64([1.0, 2.0]))
    [g] = tape.backward([(x + 1.0, np.ones(2)), (x.reshape(2, 1), np.full((2, 1), 5.0))], [x])
    assert g.tolist() == [6, 6]


def test_broadcasting_is_undone():
    x, b = tape.Tensor(np.zeros((2, 3))), tape.Tensor(np.zeros((3,)))
    gx, gb = tape.backward([(x + b, np.ones((2, 3)))], [x, b])
    assert gx.shape == (2, 3)
    assert gb.tolist() == [2, 2, 2]
    assert tape.unbroadcast(np.ones((4, 2, 3)), (2, 1)).tolist() == [[12], [12]]


@both
def test_a_constant_weight_lets_the_gradient_through(engine):
    x, w, b = np.float64([[1, 2]]), np.float64([[1, 2], [3, 4], [5, 6]]), np.float64([0, 0, 1])
    g = np.float64([[1, 10, 100]])
    inputs, bias = tape.Tensor(x), tape.Tensor(b)
    found = tape.backward([(tape.lift(engine).linear(inputs, w, bias), g)], [inputs, bias])
    gx, _, gb = engine.linear_vjp(g, x, w, b)
    assert [f.tolist() for f in found] == [gx.tolist(), gb.tolist()]


@both
def test_a_packed_weight_lets_the_gradient_through_to_the_bias(engine):
    packed = engine.PackedWeight(
        refq.pack_codes(np.array([[1, 2], [3, -4], [5, 6]]), 4),
        *(np.ones((3, 1), k) for k in (np.float32, np.int32)),
        4,
    )
    x, b, g = np.float32([[1, 2]]), np.float32([0, 0, 1]), np.float32([[1, 10, 100]])
    inputs, bias = tape.Tensor(x), tape.Tensor(b)
    found = tape.backward([(tape.lift(engine).linear(inputs, packed, bias), g)], [inputs, bias])
    assert [f.tolist() for f in found] == [[[420, 451]], [1, 10, 100]]


@both
def test_a_python_number_keeps_the_place_of_its_gradient(engine):
    x, offset = np.float64([1, 9]), tape.Tensor(np.float64(0.25))
    y = tape.lift(engine).lsq_plus(x, 0.5, offset, -8, 7)
    [found] = tape.backward([(y, np.ones(2))], [offset])
    assert found == engine.lsq_plus_vjp(np.ones(2), x, 0.5, offset.value, -8, 7)[2]


@both
def test_named_arguments_are_put_in_their_places(engine):
    student, g = np.float64([[1, 2, 4]]), np.ones(1)
    teacher = {"teacher_log_probs": np.log([[0.5, 0.25]]), "indices": np.array([[0, 2]])}
    logits = tape.Tensor(student)
    loss = tape.lift(engine).top_k_kl(renormalize=False, **teacher, student_logits=logits)
    [found] = tape.backward([(loss, g)], [logits])
    args = student, *teacher.values(), 1.0, True, False
    np.testing.assert_array_equal(loss.value, engine.top_k_kl(*args))
    np.testing.assert_array_equal(found, engine.top_k_kl_vjp(g, *args))
    with pytest.raises(TypeError, match="'factor'"):
        tape.lift(engine).silu(logits, factor=2.0)


@pytest.mark.parametrize("axes", [(), (2, 0, 1), (-1, 0, 1), (0, -1, 1), (0, -1, -2)])
def test_a_transposition_is_undone(axes):
    x, g = tape.Tensor(np.zeros((2, 2, 2))), np.arange(8.0).reshape(2, 2, 2)
    y = x.transpose(*axes)
    [found] = tape.backward([(y, g)], [x])
    np.testing.assert_array_equal(found.transpose(*axes), g)


def test_a_part_of_a_tensor():
    x = tape.Tensor(np.arange(6.0).reshape(2, 3))
    [g] = tape.backward([(x[:, 0], np.array([1.0, 2.0])), (x[np.array([1, 1])], np.ones((2, 3)))], [x])
    assert g.tolist() == [[1, 0, 0], [4, 2, 2]]


def test_constants_alone_give_an_array():
    assert isinstance(tape.lift(refq).silu(np.zeros(2)), np.ndarray)


@both
def test_a_tensor_without_a_gradient_is_refused(engine):
    logits = tape.Tensor(np.float64([[1, 2, 4]]))
    loss = tape.lift(engine).kl_divergence(logits, logits + 1.0)
    with pytest.raises(DtypeError, match="kl_divergence has gradients for its first 1 real arguments alone"):
        tape.backward([(loss, np.ones(1))], [logits])


def test_what_no_seed_depends_on_has_gradient_zero():
    x, other = tape.Tensor(np.ones(2)), tape.Tensor(np.ones(3))
    assert tape.backward([(x + 1.0, np.ones(2))], [other])[0].tolist() == [0, 0, 0]


def test_a_gradient_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match=r"\(3,\); its tensor has \(2,\)"):
        tape.backward([(tape.Tensor(np.ones(2)), np.ones(3))], [])


def test_a_long_chain_needs_no_recursion():
    x = tape.Tensor(np.zeros(1))
    y = x
    for _ in range(5000):
        y = y + 1.0
    assert tape.backward([(y, np.ones(1))], [x])[0].tolist() == [1]


@both
def test_what_is_computed_again_has_the_same_bits(engine, model):
    params, config = model
    leaves = {name: tape.Tensor(w) for name, w in params.items()}
    ops, lifted = recomputing(engine), tape.lift(engine)
    loss = lifted.cross_entropy(ops.llama_forward(leaves, TOKENS, config, lifted), TARGETS)
    found = tape.backward([(loss, np.ones_like(loss.value))], list(leaves.values()))
    np.testing.assert_equal(dict(zip(leaves, found, strict=True)), gradients(engine, params, config))
