"""Does every engine do what SPEC says? All golden cases, both engines."""

import importlib
import json

import pytest

from refq.jobs import golden
from tests.support import both

CASES = [
    pytest.param(name, case, id=f"{name}-{case['id']}") for name in golden.functions() for case in golden.load(name)
]


@both
@pytest.mark.parametrize(("name", "case"), CASES)
def test_case(engine, name, case):
    fault = golden.run(case, getattr(engine, name))
    assert fault is None, (
        f"{engine.__name__}.{name}, case {case['id']} ({case['comment']}; {', '.join(case['spec'])}): {fault}"
    )


def test_the_manifest_is_right():
    files, cases = golden.check()
    assert files == len(golden.functions())
    assert cases == len(CASES)


def test_lint():
    tool = importlib.import_module("tools.golden")
    assert tool.lint() == []


def test_a_changed_file_is_noticed(tmp_path):
    from refq.errors import FormatError

    (tmp_path / "v1").mkdir()
    (tmp_path / "MANIFEST.json").write_text((golden.folder() / "MANIFEST.json").read_text())
    for name in golden.functions():
        (tmp_path / "v1" / f"{name}.json").write_bytes((golden.folder() / "v1" / f"{name}.json").read_bytes())
    golden.check(tmp_path)
    path = tmp_path / "v1" / "quantize.json"
    document = json.loads(path.read_text())
    document["cases"][0]["comment"] += "."
    path.write_text(json.dumps(document))
    with pytest.raises(FormatError, match="sha256"):
        golden.check(tmp_path)
