"""Codebooks by exact distance, without midpoints."""

from tools.oracle.numbers import as_array, elementwise, rounded


def codebook_quantize(x, scale, codebook):
    def nearest(value, s):
        t = rounded(value / s, x.dtype)
        if isinstance(t, float):  # the quotient is infinite: the outermost entry
            return codebook.data.index(max(codebook.data) if t > 0 else min(codebook.data))
        distance = [abs(t - entry) for entry in codebook.data]
        return distance.index(min(distance))

    return elementwise(nearest, "uint8", x, as_array(scale, x.dtype))


def codebook_dequantize(q, scale, codebook):
    dtype = codebook.dtype
    return elementwise(lambda c, s: rounded(codebook.data[c] * s, dtype), dtype, q, as_array(scale, dtype))
