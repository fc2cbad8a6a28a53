"""Hadamard matrices of orders that are no power of two: both constructions of Paley, one of Williamson."""

import numpy as np

SUBGROUP = (1, 6, 7, 36, 37, 42)  # of the units mod 43; -1 stands on some of its cosets, named by a member
COSETS = ((2, 4, 9), (5, 9, 10), (1, 4, 5), (3, 4, 5, 9))


def core(n):
    """The part of hadamard(n) that is no Sylvester matrix, (K, K) with K * 2**k = n."""
    odd = n
    while odd % 2 == 0:
        odd //= 2
    if odd == 1:
        return np.ones((1, 1))
    order = 4 * odd
    while n % order == 0:
        found = _constructed(order)
        if found is not None:
            return found
        order *= 2
    return _cosines(odd)


def sylvester(n):
    """Entry -1 where two indices share an odd number of bits; n a power of two."""
    h = np.ones((1, 1))
    while len(h) < n:
        h = np.block([[h, h], [h, -h]])
    return h


def _constructed(order):
    q = order - 1
    if q % 4 == 3 and _is_prime(q):
        return np.eye(order) + _bordered(q, -1)
    q = order // 2 - 1
    if q % 4 == 1 and _is_prime(q):
        pair, one = np.array([[1, 1], [1, -1]]), np.array([[1, -1], [-1, -1]])
        return np.kron(_bordered(q, 1), pair) + np.kron(np.eye(q + 1), one)
    return _williamson() if order == 172 else None


def _bordered(q, sign):
    """[[0, 1], [sign, J]], J[a, b] = 1 if a - b is a square mod q, -1 if it is none, 0 for 0."""
    character = np.full(q, -1.0)
    character[np.arange(q) ** 2 % q] = 1
    character[0] = 0
    a = np.arange(q)
    ones = np.ones((1, q))
    return np.block([[np.zeros((1, 1)), ones], [sign * ones.T, character[(a[:, None] - a) % q]]])


def _williamson():
    a = np.arange(43)
    blocks = []
    for cosets in COSETS:
        row = np.ones(43)
        row[[c * s % 43 for c in cosets for s in SUBGROUP]] = -1
        blocks.append(row[(a - a[:, None]) % 43])
    A, B, C, D = blocks
    return np.block([[A, B, C, D], [-B, A, -D, C], [-C, D, A, -B], [-D, -C, B, A]])


def _cosines(n):
    """No Hadamard matrix, but orthogonal, and no entry above sqrt(2): the discrete cosine transform."""
    k, j = np.arange(n)[:, None], np.arange(n)
    h = np.sqrt(2) * np.cos(np.pi * ((2 * j + 1) * k % (4 * n)) / (2 * n))
    h[0] = 1
    return h


def _is_prime(n):
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))
