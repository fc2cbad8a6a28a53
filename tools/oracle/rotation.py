"""Hadamard matrices and rotated models, exactly or at 50 digits."""

from fractions import Fraction

from tools.oracle.numbers import Array, Bounded, indices, rounded, rows
from tools.oracle.ops import bounded_list
from tools.oracle.reals import Real, bounded, lift, mp, sqrt, total

READERS = {
    "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
}


def hadamard(n):
    data = [v for row in _matrix(n) for v in row]
    if all(isinstance(v, int) for v in data):
        return Array("float64", (n, n), data)
    exact = [v if isinstance(v, int) else Fraction(int(v * mp.mpf(2) ** 200), 2**200) for v in data]
    within = [0 if isinstance(v, int) else rounded(Fraction(1, 2**49)) for v in data]
    return Bounded(Array("float64", (n, n), [rounded(v, "float64") for v in exact]), Array("float32", (n, n), within))


def hadamard_transform(x):
    data = [v for row in rows(lift(x)) for v in transformed(row)]
    return bounded(Array("float32", x.shape, data))


def hadamard_transform_vjp(g, x):
    data = [v for row in rows(lift(g)) for v in transformed(row, back=True)]
    return bounded(Array("float32", x.shape, data))


def fuse_norms(params, config):
    fused = {"lm_head.weight": params["model.embed_tokens.weight"]} | params
    blocks = [f"model.layers.{layer}." for layer in range(config["num_hidden_layers"])]
    norms = [(block + norm, [block + r for r in readers]) for block in blocks for norm, readers in READERS.items()]
    for norm, readers in [*norms, ("model.norm", ["lm_head"])]:
        gain = fused[f"{norm}.weight"].data
        for name in (f"{reader}.weight" for reader in readers):
            data = [rounded(w * gain[i % len(gain)]) for i, w in enumerate(fused[name].data)]
            fused[name] = fused[name]._replace(data=data)
        fused[f"{norm}.weight"] = fused[f"{norm}.weight"]._replace(data=[Fraction(1)] * len(gain))
    return fused


def rotate(params, config, signs, online=False):
    fused, d = fuse_norms(params, config), config["head_dim"]
    turned = {name: lift(array) for name, array in fused.items()}
    plus = [Real(s) for s in signs.data]

    def turn(row):
        return transformed([v * s for v, s in zip(row, plus, strict=True)])

    def by_head(row):
        return [v for start in range(0, len(row), d) for v in transformed(row[start : start + d])]

    def over_heads(row):
        parts = [transformed(row[i::d]) for i in range(d)]
        return [parts[i % d][i // d] for i in range(len(row))]

    changed = ["model.embed_tokens.weight", "lm_head.weight"]
    for name in changed:
        turned[name] = _rows(turned[name], turn)
    for block in (f"model.layers.{layer}." for layer in range(config["num_hidden_layers"])):
        for name in (f"{block}{reader}.weight" for readers in READERS.values() for reader in readers):
            turned[name] = _rows(turned[name], turn)
        for layer in ("self_attn.o_proj", "mlp.down_proj"):
            turned[f"{block}{layer}.weight"] = _columns(turned[f"{block}{layer}.weight"], turn)
            if f"{block}{layer}.bias" in turned:
                turned[f"{block}{layer}.bias"] = _rows(turned[f"{block}{layer}.bias"], turn)
        v, o, down = (f"{block}{layer}" for layer in ("self_attn.v_proj", "self_attn.o_proj", "mlp.down_proj"))
        turned[f"{v}.weight"] = _columns(turned[f"{v}.weight"], by_head)
        if f"{v}.bias" in turned:
            turned[f"{v}.bias"] = _rows(turned[f"{v}.bias"], by_head)
        turned[f"{o}.weight"] = _rows(turned[f"{o}.weight"], by_head)
        if online:
            turned[f"{o}.weight"] = _rows(turned[f"{o}.weight"], over_heads)
            turned[f"{down}.weight"] = _rows(turned[f"{down}.weight"], transformed)
    found = bounded_list(turned.values())
    value, within = (dict(zip(turned, part, strict=True)) for part in found)
    for name in value if online else ():
        stride = {"o_proj": d, "down_proj": 1}.get(name.split(".")[-2])
        if stride and name.endswith("weight"):
            value[name], within[name] = [value[name], stride], [within[name], None]
    return Bounded(value, within)


def transformed(row, back=False):
    """A list of Reals times the transposed Hadamard matrix, over the root of its order; back: times the matrix."""
    matrix = _matrix(len(row))
    matrix = zip(*matrix, strict=True) if back else matrix
    root = sqrt(Real(len(row)))
    return [total([v * Real(h) for v, h in zip(row, line, strict=True)]) / root for line in matrix]


def _matrix(n):
    odd = n
    while odd % 2 == 0:
        odd //= 2
    core = [[1]] if odd == 1 else None
    order = 4 * odd
    while core is None and n % order == 0:
        core = _core(order)
        order *= 2
    core = core or _cosines(odd)
    while len(core) < n:  # (x) [[1, 1], [1, -1]], again and again, is (x) Sylvester's
        core = [[v * s for v in row for s in signs] for row in core for signs in ((1, 1), (1, -1))]
    return core


def _core(order):
    if order - 1 in (3, 7, 11, 19, 23, 31, 43, 47, 59, 67, 71, 79, 83, 103, 107, 127, 131, 139):
        q = order - 1
        core = [[0] + [1] * q] + [[-1] + [_character(a - b, q) for b in range(q)] for a in range(q)]
        return [[v + (i == j) for j, v in enumerate(row)] for i, row in enumerate(core)]
    if order // 2 - 1 in (5, 13, 17, 29, 37, 41, 53, 61, 73):
        q = order // 2 - 1
        core = [[0] + [1] * q] + [[1] + [_character(a - b, q) for b in range(q)] for a in range(q)]
        square, diagonal = ((1, 1), (1, -1)), ((1, -1), (-1, -1))
        return [
            [
                core[i // 2][j // 2] * square[i % 2][j % 2] + (i // 2 == j // 2) * diagonal[i % 2][j % 2]
                for j in range(order)
            ]
            for i in range(order)
        ]
    return _williamson() if order == 172 else None


def _williamson():
    minus = [
        {c * s % 43 for c in cosets for s in (1, 6, 7, 36, 37, 42)}
        for cosets in ((2, 4, 9), (5, 9, 10), (1, 4, 5), (3, 4, 5, 9))
    ]
    place, sign = (
        ((0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)),
        (
            (1, 1, 1, 1),
            (-1, 1, -1, 1),
            (-1, 1, 1, -1),
            (-1, -1, 1, 1),
        ),
    )

    def entry(i, j):
        block = place[i // 43][j // 43]
        return sign[i // 43][j // 43] * (-1 if (j - i) % 43 in minus[block] else 1)

    return [[entry(i, j) for j in range(172)] for i in range(172)]


def _cosines(n):
    line = [[mp.sqrt(2) * mp.cos(mp.pi * (2 * j + 1) * i / (2 * n)) for j in range(n)] for i in range(1, n)]
    return [[1] * n, *line]


def _character(a, q):
    return 0 if a % q == 0 else 1 if any((b * b - a) % q == 0 for b in range(1, q)) else -1


def _rows(array, function):
    lines = rows(array)
    return array._replace(data=[v for row in lines for v in function(row)])


def _columns(array, function):
    lines = [function(list(column)) for column in zip(*rows(array), strict=True)]
    return array._replace(data=[lines[j][i] for i, j in indices(array.shape)])
