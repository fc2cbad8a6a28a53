"""Words of other programs' files by whole numbers, a code at a time."""

from tools.oracle.numbers import Array


def pack_gptq(q, bits):
    outputs, inputs = q.shape
    streams = [_joined([q.data[o * inputs + i] + 2 ** (bits - 1) for i in range(inputs)], bits) for o in range(outputs)]
    words = inputs * bits // 32
    return Array("int32", (words, outputs), [_word(streams[o], w) for w in range(words) for o in range(outputs)])


def unpack_gptq(packed, bits):
    words, outputs = packed.shape
    inputs = 32 * words // bits
    streams = [_joined([packed.data[w * outputs + o] % 2**32 for w in range(words)], 32) for o in range(outputs)]
    return Array(
        "int32", (outputs, inputs), [_field(s, bits, i) - 2 ** (bits - 1) for s in streams for i in range(inputs)]
    )


def pack_gptq_zeros(zero_point, bits, version=1):
    outputs, groups = zero_point.shape
    words, data = outputs * bits // 32, []
    for g in range(groups):
        stored = [zero_point.data[o * groups + g] + 2 ** (bits - 1) - (version == 1) for o in range(outputs)]
        stream = _joined([v % 2**bits for v in stored], bits)
        data += [_word(stream, w) for w in range(words)]
    return Array("int32", (groups, words), data)


def unpack_gptq_zeros(packed, bits, version=1):
    groups, words = packed.shape
    outputs = 32 * words // bits
    streams = [_joined([word % 2**32 for word in packed.data[g * words : (g + 1) * words]], 32) for g in range(groups)]
    stored = [_field(streams[g], bits, o) for o in range(outputs) for g in range(groups)]
    return Array("int32", (outputs, groups), [(v + (version == 1)) % 2**bits - 2 ** (bits - 1) for v in stored])


def _joined(numbers, bits):
    return sum(number << (bits * i) for i, number in enumerate(numbers))


def _field(stream, bits, i):
    return (stream >> (bits * i)) % 2**bits


def _word(stream, w):
    word = _field(stream, 32, w)
    return word - 2**32 if word >= 2**31 else word
