"""Laws of integer_matmul."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    bits, out = draw(st.integers(2, 8)), draw(st.integers(1, 5))
    groups, size = draw(st.integers(1, 3)), draw(st.integers(1, 9))
    lead = draw(st.sampled_from([(), (1,), (3,), (2, 2)]))
    reach = draw(st.sampled_from([7, 127, 127, 2**20]))
    weights = draw(int_arrays((out, groups * size), *refq.integer_range(bits)))
    return {
        "q": draw(int_arrays((*lead, groups * size), -reach - (reach < 2**20), reach)),
        "zero_point": draw(int_arrays((*lead, 1), -reach, reach) | int_arrays((1,), -300, 300)),
        "packed": refq.pack_codes(weights, bits),
        "weight_zero_point": draw(
            int_arrays((out, groups), *draw(st.sampled_from([(-8, 7), (-128, 127), (-999, 999)])))
        ),
        "bits": bits,
    }


def edges():
    """Rows and outputs around the tiles, groups around words and around the 128 inputs that are summed in 16 bits."""
    random = np.random.default_rng(0)
    for i, (rows, out, groups, size) in enumerate(
        [(1, 1, 1, 1), (3, 15, 2, 7), (4, 17, 3, 8), (8, 33, 1, 129), (9, 16, 2, 128), (17, 65, 4, 32), (2, 31, 1, 300)]
    ):
        for bits in (4, 8, 3, 6)[: 2 + i % 3]:
            low, high = refq.integer_range(bits)
            yield {
                "q": random.integers(-128, 128, (rows, groups * size)).astype(np.int32),
                "zero_point": random.integers(-128, 128, (rows, 1)).astype(np.int32),
                "packed": refq.pack_codes(random.integers(low, high + 1, (out, groups * size)).astype(np.int32), bits),
                "weight_zero_point": random.integers(low, high + 1, (out, groups)).astype(np.int32),
                "bits": bits,
            }


def codes(arguments):
    """q - zero_point and w - weight_zero_point, int64, (.., groups, size)."""
    n, groups = arguments["q"].shape[-1], arguments["weight_zero_point"].shape[1]
    w = refq.unpack_codes(arguments["packed"], arguments["bits"], n).astype(np.int64)
    x = arguments["q"].astype(np.int64) - arguments["zero_point"]
    shapes = ((*v.shape[:-1], groups, n // groups) for v in (x, w))
    x, w = (v.reshape(shape) for v, shape in zip((x, w), shapes, strict=True))
    return x, w - arguments["weight_zero_point"][..., None]


@both
@given(arguments())
def test_it_is_the_product_of_integers(engine, arguments):
    x, w = codes(arguments)
    expected = (x[..., None, :, :] * w).sum(axis=-1)
    np.testing.assert_array_equal(engine.integer_matmul(**arguments), expected)


@both
@given(arguments())
def test_32_bits_where_no_code_can_need_more(engine, arguments):
    y = engine.integer_matmul(**arguments)
    x, w = codes(arguments)
    zeros = np.abs(arguments["weight_zero_point"].astype(np.int64)).max()
    worst = int(np.abs(x).max()) * int(2 ** (arguments["bits"] - 1) + zeros) * x.shape[-1]
    assert y.dtype == (np.int32 if worst < 2**31 else np.int64)
    assert y.size == 0 or int(np.abs(y.astype(object)).max()) <= worst


@both
@given(arguments(), st.integers(-9, 9))
def test_codes_and_zero_point_may_move_together(engine, arguments, by):
    arguments["q"] = np.clip(arguments["q"], -1000, 1000)
    moved = arguments | {"q": arguments["q"] + by, "zero_point": np.clip(arguments["zero_point"], -999, 999) + by}
    arguments["zero_point"] = moved["zero_point"] - by
    np.testing.assert_array_equal(engine.integer_matmul(**moved), engine.integer_matmul(**arguments))


@both
@given(arguments())
def test_groups_add_up(engine, arguments):
    arguments["weight_zero_point"] = np.repeat(arguments["weight_zero_point"][:, :1], 3, axis=1)[
        :, : arguments["weight_zero_point"].shape[1]
    ]
    one = arguments | {"weight_zero_point": arguments["weight_zero_point"][:, :1]}
    whole = engine.integer_matmul(**one)[..., 0]
    np.testing.assert_array_equal(engine.integer_matmul(**arguments).sum(axis=-1, dtype=np.int64), whole)


@both
@given(arguments())
def test_each_output_has_its_row(engine, arguments):
    last = arguments | {name: arguments[name][-1:] for name in ("packed", "weight_zero_point")}
    y = engine.integer_matmul(**arguments)
    np.testing.assert_array_equal(engine.integer_matmul(**last), y[..., -1:, :])


def _wrong(
    order=lambda w: w, zero=np.subtract, zero_w=np.subtract, stride=False, add=lambda p: p.sum(axis=-1), kind=None
):
    """integer_matmul with one step changed."""

    def integer_matmul(**arguments):
        right = refq.integer_matmul(**arguments)  # what it refuses
        n, groups = arguments["q"].shape[-1], arguments["weight_zero_point"].shape[1]
        w = order(refq.unpack_codes(arguments["packed"], arguments["bits"], n).astype(np.int64))
        x = zero(arguments["q"].astype(np.int64), arguments["zero_point"])
        if stride:
            x, w = (v.reshape(*v.shape[:-1], n // groups, groups).swapaxes(-1, -2) for v in (x, w))
        else:
            x, w = (v.reshape(*v.shape[:-1], groups, n // groups) for v in (x, w))
        w = zero_w(w, arguments["weight_zero_point"][..., None])
        return add(x[..., None, :, :] * w).astype(kind or right.dtype)

    return integer_matmul


def _saturated(products):
    """Pairs of products in 16 bits, as an instruction of x86 adds them."""
    n = products.shape[-1] // 2 * 2
    pairs = products[..., :n].reshape(*products.shape[:-1], n // 2, 2).sum(axis=-1)
    return np.clip(pairs, -(2**15), 2**15 - 1).sum(axis=-1) + products[..., n:].sum(axis=-1)


def _nibbles_swapped(w):
    n = w.shape[1] // 2 * 2
    return np.concatenate([w[:, :n].reshape(len(w), -1, 2)[:, :, ::-1].reshape(len(w), n), w[:, n:]], axis=1)


WRONG = {
    "zero point added": _wrong(zero=np.add),
    "zero point ignored": _wrong(zero=lambda q, z: q + 0 * z),
    "weight's zero point added": _wrong(zero_w=np.add),
    "weight's zero point ignored": _wrong(zero_w=lambda w, z: w),
    "groups are strided": _wrong(stride=True),
    "high nibble first": _wrong(_nibbles_swapped),
    "unsigned codes": _wrong(lambda w: np.where(w < 0, w + 256, w)),
    "pairs in 16 bits": _wrong(add=_saturated),
    "sums in 16 bits": _wrong(add=lambda p: p.sum(axis=-1).astype(np.int16)),
    "sums in float32": _wrong(add=lambda p: p.astype(np.float32).sum(axis=-1)),
    "always 32 bits": _wrong(kind=np.int32),
    "always 64 bits": _wrong(kind=np.int64),
    "groups added": lambda **a: refq.integer_matmul(**a).sum(axis=-1, keepdims=True),
    "groups before outputs": lambda **a: refq.integer_matmul(**a).swapaxes(-1, -2),
}
