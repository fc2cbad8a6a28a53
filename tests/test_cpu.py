"""OpenBLAS's kernels are chosen before NumPy is imported, where that helps, and never against the user."""

import os
import subprocess
import sys

import pytest

from refq import cpu

FLAGS = " ".join(sorted(cpu.NEEDED))
CASES = {
    "AMD with AVX-512": (f"vendor_id : AuthenticAMD\nflags : fpu {FLAGS} sse\n", {"OPENBLAS_CORETYPE": "SkylakeX"}),
    "AMD without": ("vendor_id : AuthenticAMD\nflags : fpu avx2 avx512f\n", {}),
    "another": (f"vendor_id : GenuineIntel\nflags : fpu {FLAGS}\n", {}),
}


@pytest.fixture
def before_numpy(monkeypatch):
    monkeypatch.delitem(sys.modules, "numpy")


@pytest.mark.parametrize("name", CASES)
def test_by_processor(name, tmp_path, before_numpy):
    text, expected = CASES[name]
    (tmp_path / "cpuinfo").write_text(text)
    environment = {}
    cpu.choose_kernels(tmp_path / "cpuinfo", environment)
    assert environment == expected


def test_no_such_file_is_no_error(tmp_path, before_numpy):
    environment = {}
    cpu.choose_kernels(tmp_path / "absent", environment)
    assert environment == {}


def test_what_the_user_has_set_stays(tmp_path, before_numpy):
    (tmp_path / "cpuinfo").write_text(CASES["AMD with AVX-512"][0])
    environment = {"OPENBLAS_CORETYPE": "Haswell"}
    cpu.choose_kernels(tmp_path / "cpuinfo", environment)
    assert environment == {"OPENBLAS_CORETYPE": "Haswell"}


def test_too_late_is_left_alone(tmp_path):
    (tmp_path / "cpuinfo").write_text(CASES["AMD with AVX-512"][0])
    environment = {}
    cpu.choose_kernels(tmp_path / "cpuinfo", environment)
    assert environment == {}


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="only Linux says what the processor is")
def test_the_command_line_gets_there_first():
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    program = "import refq.app.main, os; print(os.environ.get('OPENBLAS_CORETYPE'))"
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        first = file.read(2**13)
    expected = "SkylakeX" if "AuthenticAMD" in first and cpu.NEEDED.issubset(first.split()) else "None"
    assert found.stdout.strip() == expected
