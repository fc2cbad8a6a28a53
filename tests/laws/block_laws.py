"""The laws of llama.cpp's blocks that are the same in every format; `kind` is its name."""

import numpy as np

from tests.laws.blocks import SIZES, alone, step, with_units


def check_encoded_alone(engine, kind, x):
    """Bytes of the right form, and those of each block are its own."""
    encode, (size, width) = getattr(engine, f"encode_{kind}"), SIZES[kind]
    packed = encode(x)
    assert packed.dtype == np.uint8
    assert packed.shape == (*x.shape[:-1], x.shape[-1] // size * width)
    np.testing.assert_array_equal(packed, alone(encode, "x", x, size))


def check_decoded_alone(engine, kind, packed):
    """Numbers of the right form, and those of each block are its own."""
    decode, (size, width) = getattr(engine, f"decode_{kind}"), SIZES[kind]
    x = decode(packed)
    assert x.dtype == np.float32
    assert x.shape == (*packed.shape[:-1], packed.shape[-1] // width * size)
    np.testing.assert_array_equal(x, alone(decode, "packed", packed, width))


def check_units_are_factors(engine, kind, packed):
    """Four times the numbers of float16 in the bytes are four times the result."""
    one, four = (getattr(engine, f"decode_{kind}")(with_units(kind, packed, n)) for n in (1, 4))
    np.testing.assert_array_equal(four, 4 * one)


def check_units_of_0(engine, kind, packed):
    """Numbers of 0 give 0."""
    assert not getattr(engine, f"decode_{kind}")(with_units(kind, packed, 0)).any()


def check_encoded_again(engine, kind, x):
    """What was decoded has the same bytes, unless its unit is subnormal."""
    encode, decode = (getattr(engine, f"{verb}_{kind}") for verb in ("encode", "decode"))
    packed = encode(x)
    normal = np.repeat(step(kind, packed)[..., 0] > 2.0**-14, SIZES[kind][1], axis=-1)
    np.testing.assert_array_equal(encode(decode(packed))[normal], packed[normal])


def check_times_4(engine, kind, x):
    """Four times the numbers are decoded to four times the numbers, unless the unit is nearly subnormal."""
    encode, decode = (getattr(engine, f"{verb}_{kind}") for verb in ("encode", "decode"))
    packed = encode(x)
    normal = np.repeat(step(kind, packed)[..., 0] > 2.0**-12, SIZES[kind][0], axis=-1)
    np.testing.assert_array_equal(decode(encode(x * np.float32(4)))[normal], decode(packed)[normal] * 4)


def check_times_16(engine, kind, x):
    """As check_times_4, of the formats whose units are products."""
    encode, decode = (getattr(engine, f"{verb}_{kind}") for verb in ("encode", "decode"))
    blocks = x.reshape(-1, SIZES[kind][0])
    found, larger = (decode(encode(blocks * np.float32(factor))) for factor in (2.0**6, 2.0**10))
    largest = np.abs(found).max(axis=-1)
    fine = (largest > 1) & (largest < 2.0**12)  # units are normal numbers of float16, and no square overflows
    np.testing.assert_array_equal(larger[fine], 16 * found[fine])


def check_zeros(engine, kind, x):
    """A block of zeros is zero bytes."""
    size, width = SIZES[kind]
    x = x.copy()
    x[..., :size] = 0
    assert not getattr(engine, f"encode_{kind}")(x)[..., :width].any()


def check_packed_back(engine, kind, q, **numbers):
    """unpack gives what pack was given."""
    parts = q, *numbers.values()
    found = getattr(engine, f"unpack_{kind}")(getattr(engine, f"pack_{kind}")(*parts))
    for one, part in zip(found, parts, strict=True):
        np.testing.assert_array_equal(one, part)


def check_packed_form(engine, kind, q, **numbers):
    """Bytes, whole blocks."""
    packed = getattr(engine, f"pack_{kind}")(q, **numbers)
    assert packed.dtype == np.uint8
    assert packed.shape == (*q.shape[:-1], q.shape[-1] // 32 * SIZES[kind][1])


def check_any_integer_type(engine, kind, q, **numbers):
    pack = getattr(engine, f"pack_{kind}")
    expected = pack(q, **numbers)
    for dtype in (np.int8, np.int16, np.int64):
        np.testing.assert_array_equal(pack(q.astype(dtype), **numbers), expected)


def check_unpacked_form(engine, kind, packed):
    """int32 codes, and float32 numbers a block."""
    q, *numbers = getattr(engine, f"unpack_{kind}")(packed)
    blocks = packed.shape[-1] // SIZES[kind][1]
    assert q.dtype == np.int32
    assert q.shape == (*packed.shape[:-1], 32 * blocks)
    for number in numbers:
        assert number.dtype == np.float32
        assert number.shape == (*packed.shape[:-1], blocks)


def check_unpacked_meaning(engine, kind, packed):
    """Codes and numbers say what decode gives."""
    q, *numbers = getattr(engine, f"unpack_{kind}")(packed)
    scale, *minimum = (np.repeat(number, 32, axis=-1) for number in numbers)
    x = sum(minimum, q.astype(np.float32) * scale)
    np.testing.assert_array_equal(getattr(engine, f"decode_{kind}")(packed), x)
