"""Blocks of llama.cpp: each float32 operation is one exact operation and one rounding; bytes are whole numbers."""

import math
import struct
from fractions import Fraction

from tools.oracle.numbers import Array, clip, nearest_even, rounded, rows

_STEPS = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]


def pack_q4_0(q, scale):
    return _packed(q, 32, lambda u, i: _half(scale.data[i]) + _nibbles([v + 8 for v in u]))


def unpack_q4_0(packed):
    return _unpacked(packed, 18, lambda b: ([v - 8 for v in _low_high(b[2:])], _number(b[:2])), 1)


def decode_q4_0(packed):
    return _decoded(packed, 18, lambda b: [(v - 8) * _number(b[:2]) for v in _low_high(b[2:])])


def pack_q4_1(q, scale, minimum):
    return _packed(q, 32, lambda u, i: _half(scale.data[i]) + _half(minimum.data[i]) + _nibbles(u))


def unpack_q4_1(packed):
    return _unpacked(packed, 20, lambda b: (_low_high(b[4:]), _number(b[:2]), _number(b[2:4])), 2)


def decode_q4_1(packed):
    return _decoded(packed, 20, lambda b: [rounded(v * _number(b[:2])) + _number(b[2:4]) for v in _low_high(b[4:])])


def pack_q5_0(q, scale):
    def one(u, i):
        u = [v + 16 for v in u]
        fifth = [sum(v // 16 * 2**j for j, v in enumerate(u[k : k + 8])) for k in range(0, 32, 8)]
        return _half(scale.data[i]) + fifth + _nibbles([v % 16 for v in u])

    return _packed(q, 32, one)


def unpack_q5_0(packed):
    return _unpacked(packed, 22, lambda b: ([v - 16 for v in _fifth(b[2:6], b[6:])], _number(b[:2])), 1)


def decode_q5_0(packed):
    return _decoded(packed, 22, lambda b: [(v - 16) * _number(b[:2]) for v in _fifth(b[2:6], b[6:])])


def decode_q5_1(packed):
    def one(b):
        return [rounded(v * _number(b[:2])) + _number(b[2:4]) for v in _fifth(b[4:8], b[8:])]

    return _decoded(packed, 24, one)


def pack_q8_0(q, scale):
    return _packed(q, 32, lambda u, i: _half(scale.data[i]) + [v % 256 for v in u])


def unpack_q8_0(packed):
    return _unpacked(packed, 34, lambda b: ([_signed(v) for v in b[2:]], _number(b[:2])), 1)


def decode_q8_0(packed):
    return _decoded(packed, 34, lambda b: [_signed(v) * _number(b[:2]) for v in b[2:]])


def decode_q4_k(packed):
    return _decoded(packed, 144, lambda b: _with_minima(b, [0] * 32, b[16:]))


def decode_q6_k(packed):
    def one(b):
        d, x = _number(b[208:]), []
        for i in range(256):
            half, k, l = i // 128, i % 128 // 32, i % 32
            byte = b[64 * half + l + 32 * (k % 2)]
            u = (byte // 16 if k > 1 else byte % 16) + b[128 + 32 * half + l] // 4**k % 4 * 16
            x.append(rounded(d * _signed(b[192 + i // 16])) * (u - 32))
        return x

    return _decoded(packed, 210, one)


def decode_q2_k(packed):
    def one(b):
        d, dmin, x = _number(b[80:82]), _number(b[82:84]), []
        for i in range(256):
            a, m = b[i // 16] % 16, b[i // 16] // 16
            x.append(rounded(rounded(d * a) * _pair(b[16:80], i)) - rounded(dmin * m))
        return x

    return _decoded(packed, 84, one)


def decode_q3_k(packed):
    def one(b):
        d, six, x = _number(b[108:]), b[96:108], []
        for i in range(256):
            j, bit = i // 16, i // 32
            a = six[j] % 16 if j < 8 else six[j - 8] // 16
            a += six[8 + j % 4] // 4 ** (j // 4) % 4 * 16
            u = _pair(b[32:96], i) + b[i % 32] // 2**bit % 2 * 4
            x.append(rounded(d * (a - 32)) * (u - 4))
        return x

    return _decoded(packed, 110, one)


def decode_q5_k(packed):
    return _decoded(packed, 176, lambda b: _with_minima(b, b[16:48], b[48:]))


def decode_iq4_nl(packed):
    return _decoded(packed, 18, lambda b: [_STEPS[u] * _number(b[:2]) for u in _low_high(b[2:])])


def decode_iq4_xs(packed):
    def one(b):
        d, high, x = _number(b[:2]), b[2] + 256 * b[3], []
        for j in range(8):
            a = b[4 + j // 2] // 16 ** (j % 2) % 16 + high // 4**j % 4 * 16
            x += [rounded(d * (a - 32)) * _STEPS[u] for u in _low_high(b[8 + 16 * j : 24 + 16 * j])]
        return x

    return _decoded(packed, 136, one)


def decode_mxfp4(packed):
    e2m1 = [Fraction(n, 2) for n in (0, 1, 2, 3, 4, 6, 8, 12)]
    return _decoded(packed, 17, lambda b: [v * Fraction(2) ** (b[0] - 127) for v in _of_table(e2m1, b[1:])])


def _of_table(magnitudes, nibbles):
    return [(-1) ** (u // 8) * magnitudes[u % 8] for u in _low_high(nibbles)]


def _with_minima(b, fifth, nibbles):
    """Of a block of Q4_K or Q5_K."""
    d, dmin, six, x = _number(b[:2]), _number(b[2:4]), b[4:16], []
    for j in range(8):
        if j < 4:
            a, m = six[j] % 64, six[j + 4] % 64
        else:
            a, m = six[j + 4] % 16 + six[j - 4] // 64 * 16, six[j + 4] // 16 + six[j] // 64 * 16
        codes = _low_high(nibbles[j // 2 * 32 :][:32])[j % 2 * 32 :][:32]
        for u, byte in zip(codes, fifth, strict=True):
            x.append(rounded(rounded(d * a) * (u + byte // 2**j % 2 * 16)) - rounded(dmin * m))
    return x


def _pair(bytes_of_pairs, i):
    return bytes_of_pairs[i // 128 * 32 + i % 32] // 4 ** (i % 128 // 32) % 4


def encode_q4_0(x):
    return _encoded(x, 32, lambda g: _signed_block(g, 8))


def encode_q5_0(x):
    return _encoded(x, 32, lambda g: _signed_block(g, 16))


def encode_q4_1(x):
    def one(g):
        low = min(g)
        scale = rounded(Fraction(rounded(max(g) - low), 15))
        inverse = _inverse(scale)
        half = Fraction(1, 2)
        u = [min(15, math.floor(rounded(rounded(rounded(v - low) * inverse) + half))) for v in g]
        return _half(scale) + _half(low) + _nibbles(u)

    return _encoded(x, 32, one)


def encode_q8_0(x):
    def one(g):
        scale = rounded(Fraction(max(map(abs, g)), 127))
        inverse = _inverse(scale)
        return _half(scale) + [_away(rounded(v * inverse)) % 256 for v in g]

    return _encoded(x, 32, one)


def encode_q4_k(x):
    return _encoded(x, 256, _q4_k)


def encode_q6_k(x):
    return _encoded(x, 256, _q6_k)


def _signed_block(g, half):
    scale = rounded(Fraction(max(g, key=abs)) / -half)
    inverse, shift = _inverse(scale), half + Fraction(1, 2)
    u = [min(2 * half - 1, math.floor(rounded(rounded(v * inverse) + shift))) for v in g]
    head = _half(scale) if any(g) else [0, 128]  # llama.cpp divides 0 by -8
    if half == 8:
        return head + _nibbles(u)
    fifth = sum((v // 16) << i for i, v in enumerate(u))
    return head + list(fifth.to_bytes(4, "little")) + _nibbles([v % 16 for v in u])


def _q4_k(g):
    fits = [_fit_4(g[i : i + 32]) for i in range(0, 256, 32)]
    (d, a), (dmin, m) = _six([scale for scale, _, _ in fits]), _six([-low for _, low, _ in fits])
    six, codes = [0] * 12, []
    for j in range(8):
        if j < 4:
            six[j], six[j + 4] = a[j], m[j]
        else:
            six[j + 4] = a[j] % 16 + m[j] % 16 * 16
            six[j - 4] += a[j] // 16 * 64
            six[j] += m[j] // 16 * 64
    for j, (_, _, u) in enumerate(fits):
        step, offset = rounded(d * a[j]), rounded(dmin * m[j])
        part = g[32 * j : 32 * j + 32]
        codes.append([_code(rounded(rounded(v + offset) / step), 0, 15) for v in part] if step else u)
    body = [b for j in range(0, 8, 2) for b in _nibbles(codes[j] + codes[j + 1])]
    return _half(d) + _half(dmin) + six + body


def _fit_4(x):
    mean = _root(rounded(_sum([rounded(v * v) for v in x]) / 32))
    weight = [rounded(mean + abs(v)) for v in x]
    low, high = min(0, *x), max(x)
    if low == high:
        return Fraction(0), low, [0] * 32
    sums = _sum(weight), _sum([rounded(w * v) for w, v in zip(weight, x, strict=True)])
    inverse = rounded(15 / rounded(high - low))
    u = _codes(x, inverse, low)
    scale = Fraction(0) if isinstance(inverse, float) else rounded(1 / inverse)
    best, tenth = _error(x, weight, scale, low, u), rounded(Fraction(1, 10))
    for trial in range(21):
        steps = rounded(rounded(rounded(tenth * trial) - 1) + 15)
        codes = _codes(x, rounded(steps / rounded(high - low)), low)
        line = _line(x, weight, codes, *sums)
        if line and (error := _error(x, weight, *line, codes)) < best:
            best, u, (scale, low) = error, codes, line
    return scale, low, u


def _codes(x, inverse, low):
    if isinstance(inverse, float):  # an infinity
        return [0] * len(x)
    return [_code(rounded(inverse * rounded(v - low)), 0, 15) for v in x]


def _line(x, weight, u, w, wx):
    wu = [rounded(a * b) for a, b in zip(weight, u, strict=True)]
    s_u, s_uu = _sum(wu), _sum([rounded(a * b) for a, b in zip(wu, u, strict=True)])
    s_xu = _sum([rounded(a * b) for a, b in zip(wu, x, strict=True)])
    determinant = rounded(rounded(w * s_uu) - rounded(s_u * s_u))
    if determinant <= 0:
        return None
    scale = rounded(rounded(rounded(w * s_xu) - rounded(wx * s_u)) / determinant)
    low = rounded(rounded(rounded(s_uu * wx) - rounded(s_u * s_xu)) / determinant)
    return (rounded(s_xu / s_uu), Fraction(0)) if low > 0 else (scale, low)


def _error(x, weight, scale, low, u):
    off = [rounded(rounded(rounded(scale * c) + low) - v) for v, c in zip(x, u, strict=True)]
    return _sum([rounded(w * rounded(e * e)) for w, e in zip(weight, off, strict=True)])


def _six(values):
    largest = Fraction(max(0, *values))
    inverse = rounded(63 / largest) if largest > 0 else 0
    return rounded(rounded(largest / 63), "float16"), [min(63, nearest_even(rounded(inverse * v))) for v in values]


def _q6_k(g):
    fits = [_fit_6(g[i : i + 16]) for i in range(0, 256, 16)]
    largest = max((scale for scale, _ in fits), key=abs)
    if abs(largest) < Fraction(1, 10**15):
        return [0] * 210
    inverse = rounded(-128 / largest)
    unit = rounded(1 / inverse)
    d = rounded(unit, "float16")
    a = [min(127, nearest_even(rounded(inverse * scale))) for scale, _ in fits]
    u = []
    for j, (_, codes) in enumerate(fits):
        step = rounded(d * a[j])
        u += [_code(rounded(v / step), -32, 31) + 32 if step else c for v, c in zip(g[16 * j :], codes, strict=False)]
    low, high = [0] * 128, [0] * 64
    for i, v in enumerate(u):
        half, k, l = i // 128, i % 128 // 32, i % 32
        low[64 * half + l + 32 * (k % 2)] += v % 16 * (16 if k > 1 else 1)
        high[32 * half + l] += v // 16 * 4**k
    return low + high + [v % 256 for v in a] + _half(unit)


def _fit_6(x):
    largest = Fraction(max(x, key=abs))
    if abs(largest) < Fraction(1, 10**15):
        return Fraction(0), [0] * 16
    scale = best = codes = None
    for k in (0, *range(-9, 0), *range(1, 10)):
        steps = rounded(32 + rounded(rounded(Fraction(1, 10)) * k))
        u = [_code(rounded(rounded(-steps / largest) * v), -32, 31) for v in x]
        squares = [rounded(v * v) for v in x]
        wu = [rounded(w * c) for w, c in zip(squares, u, strict=True)]
        s_xu = _sum([rounded(rounded(w * v) * c) for w, v, c in zip(squares, x, u, strict=True)])
        s_uu = _sum([rounded(a * c) for a, c in zip(wu, u, strict=True)])
        if scale is None or (s_uu > 0 and rounded(s_xu * s_xu) > rounded(best * s_uu)):
            scale = rounded(s_xu / s_uu) if s_uu else Fraction(0)
            best, codes = rounded(scale * s_xu), [c + 32 for c in u]
    return scale, codes


def _sum(values):
    total = Fraction(values[0])
    for value in values[1:]:
        total = rounded(total + value)
    return total


def _root(value):
    """The square root of an exact float32 number, rounded once: 60 bits more than it needs."""
    shift = 2**200
    return rounded(Fraction(math.isqrt(int(Fraction(value) * shift * shift)), shift))


def _code(value, low, high):
    return clip(nearest_even(value), low, high)


def _away(value):
    return int(math.copysign(math.floor(abs(value) + Fraction(1, 2)), value))


def _inverse(scale):
    """1 / scale, or 0 where that is none or beyond float32."""
    inverse = rounded(1 / Fraction(scale)) if scale else Fraction(0)
    return Fraction(0) if isinstance(inverse, float) else inverse


def _half(value):
    """The two bytes of an exact value as float16; one that underflows from below is minus zero."""
    number = float(rounded(value, "float16"))
    return list(struct.pack("<e", -0.0 if number == 0 and value < 0 else number))


def _number(two):
    return Fraction(struct.unpack("<e", bytes(two))[0])


def _nibbles(u):
    n = len(u) // 2
    return [low + 16 * high for low, high in zip(u[:n], u[n:], strict=True)]


def _low_high(raw):
    return [b % 16 for b in raw] + [b // 16 for b in raw]


def _fifth(bits, raw):
    number = int.from_bytes(bytes(bits), "little")
    return [v + (number >> i) % 2 * 16 for i, v in enumerate(_low_high(raw))]


def _signed(byte):
    return byte - 256 if byte > 127 else byte


def _encoded(x, size, one):
    data = [b for row in rows(x) for i in range(0, len(row), size) for b in one(row[i : i + size])]
    per = len(data) // (len(x.data) // size) if data else 1
    return Array("uint8", (*x.shape[:-1], x.shape[-1] // size * per), data)


def _packed(q, size, one):
    number, data = 0, []
    for row in rows(q):
        for i in range(0, len(row), size):
            data += one(row[i : i + size], number)
            number += 1
    return Array("uint8", (*q.shape[:-1], len(data) // max(1, math.prod(q.shape[:-1]))), data)


def _blocks(packed, size):
    return [row[i : i + size] for row in rows(packed) for i in range(0, len(row), size)]


def _decoded(packed, size, one):
    data = [rounded(v) for block in _blocks(packed, size) for v in one(block)]
    return Array("float32", (*packed.shape[:-1], len(data) // max(1, math.prod(packed.shape[:-1]))), data)


def _unpacked(packed, size, one, numbers):
    found = [one(block) for block in _blocks(packed, size)]
    lead, blocks = packed.shape[:-1], packed.shape[-1] // size
    q = Array("int32", (*lead, blocks * 32), [v for codes, *_ in found for v in codes])
    return [q, *(Array("float32", (*lead, blocks), [part[k + 1] for part in found]) for k in range(numbers))]
