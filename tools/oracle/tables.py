"""Numbers that stand in a table of their group: lookups, their gradients, and products with them."""

from tools.oracle.codebooks import lloyd_step
from tools.oracle.numbers import Array, indices, rows
from tools.oracle.ops import dot
from tools.oracle.reals import Real, bounded, lift, total


def codebook_lookup(index, codebook):
    return Array(codebook.dtype, index.shape, [codebook.data[place] for place in _places(index, codebook)])


def codebook_lookup_vjp(g, index, codebook, reduce="mean"):
    return bounded(lookup_slopes(lift(g), index, codebook, reduce))


def lookup_slopes(g, index, codebook, reduce):
    """The sums or means of Reals over the members of each entry."""
    members = [[] for _ in codebook.data]
    for value, place in zip(g.data, _places(index, codebook), strict=True):
        members[place].append(value)
    sums = [total(some) if some else Real(0) for some in members]
    if reduce == "mean":
        sums = [whole / Real(max(len(some), 1)) for whole, some in zip(sums, members, strict=True)]
    return Array("float32", codebook.shape, sums)


def codebook_matmul(x, packed, codebook, bits):
    weight = _weight(packed, codebook, bits, x.shape[-1])
    data = [dot(row, w) for row in rows(lift(x)) for w in weight]
    return bounded(Array("float32", (*x.shape[:-1], len(weight)), data))


def codebook_matmul_vjp(g, x, packed, codebook, bits):
    columns = list(zip(*_weight(packed, codebook, bits, x.shape[-1]), strict=True))
    return bounded(Array("float32", x.shape, [dot(row, column) for row in rows(lift(g)) for column in columns]))


def ste_requantize(groups, codebook):
    found, index = lloyd_step(groups, codebook)
    return [codebook_lookup(index, found), found, index]


def ste_requantize_vjp(g, groups, codebook):
    return g


def _places(index, codebook):
    """Flat position of each element's entry: leading axes of length 1 are repeated."""
    lead, k, found = codebook.shape[:-1], codebook.shape[-1], []
    for place, code in zip(indices(index.shape), index.data, strict=True):
        row = 0
        for i, n in zip(place[len(place) - 1 - len(lead) : -1], lead, strict=True):
            row = row * n + (0 if n == 1 else i)
        found.append(row * k + code)
    return found


def _weight(packed, codebook, bits, length):
    """The rows of the weight, as Reals."""
    (books, groups, k), tables = codebook.shape, rows(lift(codebook))
    weight, size = [], length // groups
    for o, row in enumerate(rows(packed)):
        stream, first = sum(byte << (8 * i) for i, byte in enumerate(row)), o % books * groups
        weight.append([tables[first + i // size][stream >> (bits * i) & (k - 1)] for i in range(length)])
    return weight
