"""float32 products on 512-bit registers: no slower than a BLAS that uses them, twice as fast as one that does not.

(Such are MKL on AMD's processors, and OpenBLAS with OPENBLAS_CORETYPE=Haswell.) A tile of ROWS by WIDTH results stays
in registers. b is packed into panels, each the rows of b that a tile needs, side by side; a is read where it lies. A
result is a sum in the order of k, of fixed pieces where k is by far the longest: the bits are a function of the shape.
"""

import functools

import numba
import numpy as np

from refq_fast import threads
from refq_fast.kernel import serial
from refq_fast.simd import LANES, ROWS, add_products, load_block, load_floats, store, store_block, zero_block
from refq_fast.simd_squares import turn
from refq_fast.streams import aligned

WIDTH = 2 * LANES  # with 16 lanes ROWS of them are half the registers of the processor
DEPTH = 320  # rows of a panel, which stays in the first-level cache
COLUMNS, HEIGHT = 512, 128  # of b and of a, that stay in the second
FEW, SMALL = 16, 2**19  # rows, or multiplications, below which packing b costs more than it saves
SIDE = 64  # rows and columns of a task at least
PIECE, TASKS = 2**23, 8  # multiplications a task at least, about 60 microseconds; tasks at most
LONG = 4  # times as long as the result is high and wide: then the sum is cut


def fits(a):
    """Whether there is a kernel for a."""
    return LANES == 16 and a.dtype == np.float32 and len(a) >= ROWS


def pays(a, b):
    """Whether `product` is faster than a BLAS."""
    return fits(a) and len(a) >= FEW and a.size * b.shape[1] >= SMALL


def product(a, b):
    """a (m, k) times b (k, n): (m, n). m is at least ROWS."""
    (m, k), n = a.shape, b.shape[1]
    count = min(m * k * n // PIECE, TASKS)
    long = k >= LONG * max(m, n)
    sums = threads.cuts(k, min(count, TASKS // 2, k // DEPTH)) if long else [slice(0, k)]  # their results are added
    areas = _halves((0, m), (0, n), 1 if long or numba.get_num_threads() == 1 else count)
    partial = aligned((len(sums), m, n), np.float32)
    a, b = _steps(a), _steps(b)

    def compute(task):
        place, area = task
        _multiply(a, b, partial[place].reshape(-1), n, *area, (sums[place].start, sums[place].stop))

    threads.each(compute, [(place, area) for place in range(len(sums)) for area in areas])
    return partial.sum(axis=0) if long else partial[0]


def multiply(a, b, y, left):
    """y[:, left : left + n] = a (m, k) times b (k, n), in the caller's thread."""
    columns = y.reshape(-1)[left:]
    _multiply(_steps(a), _steps(b), columns, y.shape[1], (0, len(a)), (0, b.shape[1]), (0, len(b)))


@functools.lru_cache(4096)
def _halves(rows, columns, count):
    """`count` areas at most: the longer side cut in two, and so on; an area is at least SIDE high and wide."""
    height, width = rows[1] - rows[0], columns[1] - columns[0]
    cut = max(height, width) // (2 * SIDE) * SIDE
    if count < 2 or not cut:
        return [(rows, columns)]
    if height >= width:
        parts = ((rows[0], rows[0] + cut), columns), ((rows[0] + cut, rows[1]), columns)
    else:
        parts = (rows, (columns[0], columns[0] + cut)), (rows, (columns[0] + cut, columns[1]))
    return [area for part in parts for area in _halves(*part, count // 2)]


def _steps(x):
    """The numbers of a matrix, flat, and how far apart its rows and its columns stand there."""
    if x.flags.f_contiguous and not x.flags.c_contiguous:
        return x.T.reshape(-1), 1, len(x)
    return np.ascontiguousarray(x).reshape(-1), x.shape[1], 1


@serial
def _multiply(a, b, c, stride, rows, columns, sums):
    """c[rows, columns] of a product summed over `sums`; c is flat, its rows `stride` apart."""
    panels = np.empty((COLUMNS + WIDTH) * min(sums[1] - sums[0], DEPTH), np.float32)
    edge = np.zeros(ROWS * WIDTH, np.float32)
    for left in range(columns[0], columns[1], COLUMNS):
        right = min(left + COLUMNS, columns[1])
        for k in range(sums[0], sums[1], DEPTH):
            depth = min(DEPTH, sums[1] - k)
            _pack(b, k, left, right, depth, panels)
            for top in range(rows[0], rows[1], HEIGHT):
                height = (top, min(top + HEIGHT, rows[1]))
                for j in range(left, right, WIDTH):
                    panel, width = panels[(j - left) * depth : (j - left + WIDTH) * depth], min(WIDTH, right - j)
                    _column(a, k, panel, c, stride, height, j, width, k == sums[0], edge)


@serial
def _pack(b, k, left, right, depth, panels):
    """Rows k.. of columns left..right-1, WIDTH columns a panel, the last filled up with 0."""
    numbers, row, step = b
    whole = (right - left) // LANES * LANES
    if step == 1:
        for i in range(depth):
            for j in range(0, whole, LANES):
                store(panels, _place(j, i, depth), load_floats(numbers, (k + i) * row + left + j))
    else:
        done = depth // LANES * LANES
        for j in range(0, whole, LANES):
            for i in range(0, done, LANES):
                turn(numbers, k + i + (left + j) * step, step, panels, _place(j, i, depth), WIDTH)
            for i in range(done, depth):
                for x in range(j, j + LANES):
                    panels[_place(x, i, depth)] = numbers[k + i + (left + x) * step]
    for i in range(depth):
        for x in range(whole, (right - left + WIDTH - 1) // WIDTH * WIDTH):
            here = left + x < right
            panels[_place(x, i, depth)] = numbers[(k + i) * row + (left + x) * step] if here else np.float32(0)


@serial
def _place(column, i, depth):
    return column // WIDTH * WIDTH * depth + i * WIDTH + column % WIDTH


@serial
def _column(a, k, panel, c, stride, rows, j, width, first, edge):
    """The tiles of a panel, each adding to what earlier rows of b gave."""
    numbers, row, step = a
    for i in range(rows[0], rows[1], ROWS):
        if i + ROWS <= rows[1] and width == WIDTH:
            _tile(numbers, i * row + k * step, row, step, panel, c, i * stride + j, stride, first)
            continue
        start = min(i, rows[1] - ROWS)  # the last tile begins before its turn, and keeps its own rows alone
        if not first:
            _copy(c, start * stride + j, stride, edge, 0, WIDTH, ROWS, width)
        _tile(numbers, start * row + k * step, row, step, panel, edge, 0, WIDTH, first)
        _copy(edge, (i - start) * WIDTH, WIDTH, c, i * stride + j, stride, min(ROWS, rows[1] - i), width)


@serial
def _copy(x, at, stride, y, place, step, rows, width):
    for i in range(rows):
        for j in range(width):
            y[place + i * step + j] = x[at + i * stride + j]


@serial
def _tile(a, at, row, step, panel, c, place, stride, first):
    """ROWS by WIDTH results: one sum each."""
    left, right = zero_block(), zero_block()
    if not first:
        left, right = load_block(c, place, stride), load_block(c, place + LANES, stride)
    for k in range(len(panel) // WIDTH):
        left = add_products(left, load_floats(panel, k * WIDTH), a, at + k * step, row)
        right = add_products(right, load_floats(panel, k * WIDTH + LANES), a, at + k * step, row)
    store_block(c, place, stride, left)
    store_block(c, place + LANES, stride, right)
