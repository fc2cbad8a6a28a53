"""Is fast the same function? Codes, bytes and elementwise floats bit for bit; sums within the law file's bound."""

import numpy as np
import pytest
from hypothesis import given

import refq
import refq_fast
from refq.jobs import golden
from tests.support import law

TWINS = [name for name in refq.__all__ if getattr(refq_fast, name) is not getattr(refq, name)]


def compare(name, arguments):
    """Fast result against the reference; the law file may define bound(arguments, expected) for sums."""
    before = golden.encode(arguments)
    expected = getattr(refq, name)(**arguments)
    result = getattr(refq_fast, name)(**arguments)
    bound = getattr(law(name), "bound", None)
    _match(expected, result, bound(arguments, expected) if bound else None)
    assert golden.encode(arguments) == before, "the inputs were changed"
    return result


def _match(expected, result, within):
    if isinstance(expected, (tuple, list)):
        assert len(expected) == len(result)
        for i, (e, r) in enumerate(zip(expected, result, strict=True)):
            _match(e, r, None if within is None else within[i])
        return
    if isinstance(expected, dict):
        assert set(expected) == set(result)
        for name in expected:
            _match(expected[name], result[name], None if within is None else within[name])
        return
    expected = np.asarray(expected) if isinstance(expected, (float, np.generic)) else golden.decode(expected)
    fault = golden.difference(expected, result, within)
    assert fault is None, fault
    if within is None and isinstance(expected, np.ndarray) and expected.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(result), np.signbit(expected), "zeros of another sign")


@pytest.mark.parametrize("name", TWINS)
def test_same_results(name):
    @given(law(name).arguments())
    def check(arguments):
        compare(name, arguments)

    check()


@pytest.mark.parametrize("name", TWINS)
def test_sizes_around_tile_edges_and_thread_counts(name):
    import numba

    threads = numba.get_num_threads()
    for arguments in getattr(law(name), "edges", list)():
        try:
            numba.set_num_threads(1)
            one = compare(name, arguments)
        finally:
            numba.set_num_threads(threads)
        many = compare(name, arguments)
        np.testing.assert_equal(many, one, "1 thread and several give other bits")


@pytest.mark.parametrize("name", TWINS)
def test_layouts(name):
    for case in [case for case in golden.load(name) if "raises" not in case][:3]:
        arguments = golden.decode(case["args"])
        for layout in (_reversed, _read_only, _big_endian):
            arrays = [key for key, value in arguments.items() if isinstance(value, np.ndarray) and value.ndim]
            compare(name, arguments | {key: layout(arguments[key]) for key in arrays if key != "packed"})


@pytest.mark.parametrize("name", TWINS)
def test_bits_do_not_depend_on_where_arrays_lie(name):
    function = getattr(refq_fast, name)
    cases = [golden.decode(case["args"]) for case in golden.load(name) if "raises" not in case][:3]
    for arguments in [*getattr(law(name), "edges", list)(), *cases]:
        expected = function(**arguments)
        for layout in (_reversed, _read_only, _one_byte_off):
            np.testing.assert_equal(function(**_relaid(arguments, layout)), expected, layout.__name__)


def _relaid(value, layout):
    if isinstance(value, dict):
        return {key: _relaid(item, layout) for key, item in value.items()}
    return layout(value) if isinstance(value, np.ndarray) and value.ndim else value


def _reversed(array):
    return array[..., ::-1].repeat(2, axis=-1).T[::-2].T


def _read_only(array):
    array = np.asfortranarray(array)
    array.flags.writeable = False
    return array


def _one_byte_off(array):
    room = np.empty(array.nbytes + 1, np.uint8)
    moved = room[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def _big_endian(array):
    return array.astype(array.dtype.newbyteorder(">")) if array.dtype.kind == "i" else array


@pytest.mark.parametrize("name", TWINS)
def test_the_same_errors(name):
    for case in golden.load(name):
        if "raises" in case:
            messages = []
            for engine in (refq, refq_fast):
                with pytest.raises(refq.errors.RefqError) as caught:
                    getattr(engine, name)(**golden.decode(case["args"]))
                messages.append((type(caught.value), str(caught.value)))
            assert messages[0] == messages[1]


def test_there_are_twins():
    assert TWINS
