"""What the package promises as a whole: light imports, one namespace a wheel, a README that says what runs."""

import os
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def loaded_by(statement):
    """Top-level modules that a fresh interpreter has after a statement."""
    code = f"import sys; {statement}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    return set(done.stdout.split())


def test_the_reference_is_light():
    assert loaded_by("import refq") & {"numba", "tokenizers", "safetensors", "click", "tqdm", "ml_dtypes"} == set()


def test_the_command_line_starts_without_the_engine():
    assert loaded_by("import refq.app.main") & {"numba", "tokenizers", "safetensors", "tqdm", "ml_dtypes"} == set()


def test_the_fast_package_compiles_nothing_at_import():
    code = """
import gc, refq_fast
from numba.core.registry import CPUDispatcher
kernels = [d for d in gc.get_objects() if isinstance(d, CPUDispatcher) and d.py_func.__module__.startswith("refq_fast")]
print(len(kernels) > 0, sum(len(kernel.signatures) for kernel in kernels))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["True", "0"]


def test_importing_leaves_the_environment_as_it_is():
    code = "import os; before = dict(os.environ); import refq_fast; print(os.environ == before)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["True"]


@pytest.mark.parametrize(("name", "value"), [("NUMBA_DISABLE_JIT", "1"), ("NUMBA_NUM_THREADS", "0")])
def test_settings_of_numba_that_cannot_be_are_named(name, value):
    command, environment = [sys.executable, "-m", "refq", "warmup"], os.environ | {name: value}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 2
    assert name in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_golden_files_travel_inside_the_package():
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {"golden": "refq/_golden"}
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["refq", "refq_fast"]


def test_what_the_readme_links_to_travels_in_the_source_package():
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", README):
        assert f"/{target.split('/')[0]}" in included or ("/*.md" in included and "/" not in target), target


def test_the_readme_has_the_two_commands():
    for marker in ("main command", "test command"):
        assert re.search(rf"<!-- {marker} -->\n```sh\n.+\n```", README), marker


def test_one_version():
    import refq

    assert refq.__version__ == PROJECT["project"]["version"]
    assert f"## {refq.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
