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


def pack_awq(q):
    outputs, inputs = q.shape
    order, data = (0, 2, 4, 6, 1, 3, 5, 7), []
    for i in range(inputs):
        for c in range(outputs // 8):
            data.append(_word(_joined([q.data[(8 * c + o) * inputs + i] + 8 for o in order], 4), 0))
    return Array("int32", (inputs, outputs // 8), data)


def unpack_awq(packed):
    inputs, words = packed.shape
    place, data = (0, 4, 1, 5, 2, 6, 3, 7), []
    for o in range(8 * words):
        for i in range(inputs):
            data.append(_field(packed.data[i * words + o // 8] % 2**32, 4, place[o % 8]) - 8)
    return Array("int32", (8 * words, inputs), data)


def pack_mlx(q, bits):
    outputs, inputs = q.shape
    words, data = inputs * bits // 32, []
    for o in range(outputs):
        stream = _joined([v + 2 ** (bits - 1) for v in q.data[o * inputs : (o + 1) * inputs]], bits)
        data += [_field(stream, 32, w) for w in range(words)]
    return Array("uint32", (outputs, words), data)


def unpack_mlx(packed, bits):
    outputs, words = packed.shape
    inputs = 32 * words // bits
    streams = [_joined(packed.data[o * words : (o + 1) * words], 32) for o in range(outputs)]
    return Array(
        "int32", (outputs, inputs), [_field(s, bits, i) - 2 ** (bits - 1) for s in streams for i in range(inputs)]
    )


def pack_matmul_nbits(q, bits, block_size):
    outputs, inputs = q.shape
    blocks, data = -(-inputs // block_size), []
    for o in range(outputs):
        row = [v + 2 ** (bits - 1) for v in q.data[o * inputs : (o + 1) * inputs]]
        for b in range(blocks):
            stream = _joined(row[b * block_size : (b + 1) * block_size], bits)
            data += stream.to_bytes(block_size * bits // 8, "little")
    return Array("uint8", (outputs, blocks, block_size * bits // 8), data)


def unpack_matmul_nbits(packed, bits, length):
    outputs, blocks, size = packed.shape
    data = []
    for o in range(outputs):
        stream = int.from_bytes(bytes(packed.data[o * blocks * size : (o + 1) * blocks * size]), "little")
        data += [_field(stream, bits, i) - 2 ** (bits - 1) for i in range(length)]
    return Array("int32", (outputs, length), data)


def pack_matmul_nbits_zeros(zero_point, bits):
    outputs, blocks = zero_point.shape
    size, data = -(-blocks * bits // 8), []
    for o in range(outputs):
        row = [v + 2 ** (bits - 1) for v in zero_point.data[o * blocks : (o + 1) * blocks]]
        data += _joined(row, bits).to_bytes(size, "little")
    return Array("uint8", (outputs, size), data)


def unpack_matmul_nbits_zeros(packed, bits, blocks):
    outputs, size = packed.shape
    data = []
    for o in range(outputs):
        stream = int.from_bytes(bytes(packed.data[o * size : (o + 1) * size]), "little")
        data += [_field(stream, bits, b) - 2 ** (bits - 1) for b in range(blocks)]
    return Array("int32", (outputs, blocks), data)
