"""The budget table counts what it says it counts."""

from tools import size

SAMPLE = '''"""Module."""

import os


def f(a, *rest, b=1, **more):
    """Two
    lines."""
    # a comment
    x = (a,
         b)

    return """text
    of a value"""


@click.command()
def verb(a, b, c, d, e, f, g):
    return os


@parallel
def kernel(a, b, c, d, e, f, g, h, i):
    pass
'''


def test_code_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(size, "ROOT", tmp_path)
    (tmp_path / "refq").mkdir()
    (tmp_path / "refq" / "a.py").write_text(SAMPLE)
    found, files = size.measure("refq")
    assert [(f.lines, f.arguments, f.kind) for f in found] == [(5, 4, "plain"), (2, 7, "verb"), (2, 9, "kernel")]
    assert files == {"refq/a.py": 12}
    assert list(size.over("refq", found, files)) == ["refq/a.py:23 kernel: 9 arguments; 8 is the budget"]


def test_what_exceeds():
    long = [size.Function("f", 41, 0, "plain")]
    texts = list(size.over("refq", long, {"a.py": 151}))
    assert [text.split(";")[1] for text in texts] == [f" {n} is the budget" for n in (8, 25, 40, 150)]


def test_quantile():
    assert [size.quantile(range(1, 11), share) for share in (0.5, 0.9)] == [5, 9]
    assert size.quantile([7], 0.9) == 7
    assert size.quantile([], 0.5) == 0
