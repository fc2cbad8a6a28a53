"""Whole or absent: kills, a refusing disk, signals, a second process, a run that is not the one to resume."""

import errno
import json
import os
import random
import shutil
import signal
import time

import pytest
from safetensors.numpy import load_file

import refq as reference
from refq.files.checkpoint import open_checkpoint
from refq.jobs import journal, output, shards, spans
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model
from tests.app.commands import digests, small, start
from tests.app.commands import refq as run
from tests.files.models import save

OPTIONS = ("--group-size", "8", "--engine", "reference")
CALLS = ("pwrite", "write", "fsync", "rename", "posix_fallocate", "ftruncate")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = small(tmp_path_factory.mktemp("tiny") / "model")
    (folder / "generation_config.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    assert run("quantize", tiny, out, *OPTIONS).exit_code == 0
    return digests(out)


class Failing:
    """The module os, but the n-th call that changes the disk does `instead`."""

    def __init__(self, number, instead):
        self.left, self.instead = number, instead

    def __getattr__(self, name):
        call = getattr(os, name)
        return (lambda *args: self._count(call, *args)) if name in CALLS else call

    def _count(self, call, *args):
        self.left -= 1
        return self.instead(call, *args) if self.left == 0 else call(*args)


def failing(monkeypatch, number, instead):
    fake = Failing(number, instead)
    for module in (output, journal, shards, spans):
        monkeypatch.setattr(module, "os", fake)
    return fake


def raising(code):
    def instead(*_):
        raise OSError(code, os.strerror(code))

    return instead


def half(call, *args):
    """A short write, then a full disk."""
    if call is os.pwrite:
        file, data, offset = args
        os.pwrite(file, bytes(data)[: len(data) // 2], offset)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def number_of_calls(monkeypatch, *arguments):
    with monkeypatch.context() as patch:
        fake = failing(patch, 10**6, None)
        assert run(*arguments).exit_code == 0
    return 10**6 - fake.left


@pytest.mark.parametrize("instead", [raising(errno.ENOSPC), raising(errno.EIO), half], ids=["full", "broken", "half"])
def test_a_disk_that_refuses_the_nth_call(instead, tiny, whole, tmp_path, monkeypatch):
    total = number_of_calls(monkeypatch, "quantize", tiny, tmp_path / "count", *OPTIONS)
    assert total > 60
    for number in range(1, total + 1):
        out = tmp_path / f"out{number}"
        with monkeypatch.context() as patch:
            failing(patch, number, instead)
            result = run("quantize", tiny, out, *OPTIONS)
        assert result.exit_code == 4, (number, result.output)
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
        assert not out.exists() or digests(out) == whole
        assert run("quantize", tiny, out, *OPTIONS, "--resume").exit_code == 0
        assert digests(out) == whole
    assert sorted(os.listdir(tmp_path)) == sorted(["count", *(f"out{n}" for n in range(1, total + 1))])


def test_a_full_disk_is_told_with_what_is_needed(tiny, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        failing(patch, 5, raising(errno.ENOSPC))
        result = run("quantize", tiny, tmp_path / "out", *OPTIONS)
    for text in ("out: No space left on device", "bytes are needed in all", "are free", "--resume continues"):
        assert text in result.stderr
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    result = run("quantize", tiny, tmp_path / "other", *OPTIONS)
    assert result.exit_code == 4
    assert "the disk is too full" in result.stderr
    assert "1000 are free" in result.stderr


def test_an_earlier_output_survives_every_failure_of_overwrite(tiny, whole, tmp_path, monkeypatch):
    out, again = tmp_path / "out", ("quantize", tiny, tmp_path / "out", *OPTIONS, "--overwrite")
    total = number_of_calls(monkeypatch, *again)
    assert run("quantize", tiny, out, *OPTIONS, "--bits", 8, "--overwrite").exit_code == 0
    old = digests(out)
    for number in (1, 2, 3, total // 2, *range(total - 6, total + 1)):
        with monkeypatch.context() as patch:
            failing(patch, number, raising(errno.EIO))
            assert run(*again).exit_code == 4
        assert digests(out) in (old, whole)
        if number < total - 1:  # before the second of the two renames
            assert digests(out) == old
    assert run(*again).exit_code == 0
    assert digests(out) == whole
    assert os.listdir(tmp_path) == ["out"]


KILLER = """
import os, signal, sys
from refq.app.main import main
from tests.app import test_kill
from refq.jobs import journal, output, shards, spans
fake = test_kill.Failing(int(sys.argv[1]), lambda *_: os.kill(os.getpid(), signal.SIGKILL))
for module in (output, journal, shards, spans):
    module.os = fake
main(sys.argv[2:])
"""


@pytest.mark.parametrize("number", [2, 9, 40, -5, -3, -2, -1])
def test_killed_at_a_point_and_resumed(number, tiny, whole, tmp_path, monkeypatch):
    if number < 0:
        number += 1 + number_of_calls(monkeypatch, "quantize", tiny, tmp_path / "count", *OPTIONS)
        shutil.rmtree(tmp_path / "count")
    process = start(number, "quantize", tiny, tmp_path / "out", *OPTIONS, python=["-c", KILLER])
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists() or digests(tmp_path / "out") == whole
    assert run("quantize", tiny, tmp_path / "out", *OPTIONS, "--resume").exit_code == 0
    assert digests(tmp_path / "out") == whole
    assert os.listdir(tmp_path) == ["out"]


def test_killed_between_the_two_renames_of_overwrite(tiny, whole, tmp_path, monkeypatch):
    out, again = tmp_path / "out", ("quantize", tiny, tmp_path / "out", *OPTIONS, "--overwrite")
    total = number_of_calls(monkeypatch, *again)
    assert run(*again, "--bits", 8).exit_code == 0
    old = digests(out)
    process = start(total, *again, python=["-c", KILLER])
    process.communicate()
    assert not out.exists()
    refused = run("quantize", tiny, out, *OPTIONS, "--bits", 2)  # restores it first, and then finds it
    assert (refused.exit_code, digests(out)) == (2, old)
    assert run(*again, "--resume").exit_code == 0
    assert digests(out) == whole
    assert os.listdir(tmp_path) == ["out"]


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    sizes = {"vocab_size": 512, "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6}
    return small(tmp_path_factory.mktemp("larger") / "model", **sizes)


def test_killed_at_random_moments_and_resumed(larger, tmp_path):
    options = ("--range", "mse", "--engine", "reference")
    assert run("quantize", larger, tmp_path / "whole", *options).exit_code == 0
    moments = random.Random(0)
    began = time.monotonic()
    for _ in range(5):
        process = start("quantize", larger, tmp_path / "out", *options, "--resume")
        time.sleep(moments.uniform(0.3, 2.5))
        process.kill()
        process.communicate()
    assert run("quantize", larger, tmp_path / "out", *options, "--resume").exit_code == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")
    assert sorted(os.listdir(tmp_path)) == ["out", "whole"]
    assert time.monotonic() - began < 120


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_within_two_seconds(number, code, larger, tmp_path):
    process = start("quantize", larger, tmp_path / "out", "--range", "sqnr", "--asymmetric", "--engine", "reference")
    while not (tmp_path / ".out.partial" / "model" / "model.safetensors").exists():
        time.sleep(0.02)
    began = time.monotonic()
    process.send_signal(number)
    said = process.communicate()[1]
    assert time.monotonic() - began < 2.0
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert "--resume continues" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("delay", [0.3, 1.0, 1.7])
def test_ctrl_c_while_kernels_are_compiled(delay, tiny, tmp_path):
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    process = start("quantize", tiny, tmp_path / "out", "--group-size", "8", "--range", "sqnr", env=environment)
    while "compiling kernels that no run before needed" not in process.stderr.readline():
        pass
    time.sleep(delay)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert time.monotonic() - began < 2.0
    assert process.returncode == 130
    assert said.endswith("refq: interrupted\n")
    assert set(said.splitlines()) <= {"refq: what is finished is kept; --resume continues", "refq: interrupted"}


def test_a_file_size_limit(tiny, tmp_path):
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); import refq.__main__"
    process = start("quantize", tiny, tmp_path / "out", *OPTIONS, python=["-c", limited])
    _, said = process.communicate()
    assert process.returncode == 4
    assert "File too large" in said
    assert not (tmp_path / "out").exists()


def test_a_second_process_is_kept_out(tiny, whole, tmp_path):
    out = tmp_path / "out"
    with output.claim(str(out)) as room:
        os.mkdir(os.path.join(room, "model"))
        result = run("quantize", tiny, out, *OPTIONS)
        assert result.exit_code == 3
        assert "another process is writing it" in result.stderr
    assert run("quantize", tiny, out, *OPTIONS).exit_code == 0
    assert digests(out) == whole


def interrupted(tiny, out, monkeypatch, number=60):
    with monkeypatch.context() as patch:
        failing(patch, number, raising(errno.ENOSPC))
        assert run("quantize", tiny, out, *OPTIONS).exit_code == 4
    return out.parent / f".{out.name}.partial"


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (("--bits", "3"), "options.bits was 4, is 3"),
        (("--asymmetric",), "options.symmetric was true, is false"),
        (("--range", "mse"), 'options.range was "minmax", is "mse"'),
        (("--group-size", "16"), "options.group_size was 8, is 16"),
        (("--keep", "down_proj"), "options.keep was [], is"),
        (("--fallback", "channel"), "options.fallback was"),
    ],
)
def test_other_options_are_not_resumed(changed, text, tiny, whole, tmp_path, monkeypatch):
    room = interrupted(tiny, tmp_path / "out", monkeypatch)
    before = sorted(os.listdir(room))
    result = run("quantize", tiny, tmp_path / "out", *OPTIONS, *changed, "--resume")
    assert result.exit_code == 3
    assert text in result.stderr
    assert sorted(os.listdir(room)) == before
    assert run("quantize", tiny, tmp_path / "out", *OPTIONS, "--resume").exit_code == 0
    assert digests(tmp_path / "out") == whole


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "generation_config.json"])
def test_other_inputs_are_not_resumed(name, tiny, tmp_path, monkeypatch):
    model = shutil.copytree(tiny, tmp_path / "model")
    interrupted(model, tmp_path / "out", monkeypatch)
    data = bytearray((model / name).read_bytes())
    if name == "model.safetensors":
        data[-4] ^= 1
    elif name == "config.json":
        data = json.dumps(json.loads(data) | {"rms_norm_eps": 1e-5}).encode()
    else:
        data += b" "
    (model / name).write_bytes(data)
    result = run("quantize", model, tmp_path / "out", *OPTIONS, "--resume")
    assert result.exit_code == 3
    assert f"inputs.{name} was" in result.stderr


def test_another_version_is_not_resumed(tiny, tmp_path, monkeypatch):
    interrupted(tiny, tmp_path / "out", monkeypatch)
    monkeypatch.setattr("refq.jobs.journal.__version__", "99")
    result = run("quantize", tiny, tmp_path / "out", *OPTIONS, "--resume")
    assert result.exit_code == 3
    assert 'version was "0.1.0", is "99"' in result.stderr.replace(reference.__version__, "0.1.0")


def test_threads_engine_and_path_may_change(tiny, whole, tmp_path, monkeypatch):
    room = interrupted(tiny, tmp_path / "out", monkeypatch)
    room.rename(tmp_path / ".moved.partial")
    other = ("--group-size", "8", "--engine", "fast", "--threads", "1", "--resume")
    assert run("quantize", tiny, tmp_path / "moved", *other).exit_code == 0
    assert digests(tmp_path / "moved") == whole


def test_what_was_finished_is_not_done_again_and_damage_is(tiny, whole, tmp_path, monkeypatch):
    room = interrupted(tiny, tmp_path / "out", monkeypatch)
    done = len((room / "journal").read_text().splitlines()) - 1
    assert done > 3
    quantize_model(tiny, tmp_path / "same", reference, Options(4, 8))
    _, embedding = open_checkpoint(tmp_path / "same").tensors["model.embed_tokens.weight"]
    with open(room / "model" / "model.safetensors", "r+b") as file:
        file.seek(embedding.start + 5)
        file.write(b"damage")
    with open(room / "journal", "ab") as file:
        file.write(b'{"tensor":"model.la')  # torn
    written = []
    plain = shards._write_unit
    monkeypatch.setattr(shards, "_write_unit", lambda *args: written.append(args[1].name) or plain(*args))
    assert run("quantize", tiny, tmp_path / "out", *OPTIONS, "--resume").exit_code == 0
    assert digests(tmp_path / "out") == whole
    assert written[0] == "model.embed_tokens.weight"
    assert len(written) == 21 - done + 1


@pytest.mark.parametrize(("bits", "how"), [(4, "--resume"), (3, "its own options, inputs and --resume")])
def test_without_resume_leftovers_are_removed_and_named(bits, how, tiny, tmp_path, monkeypatch):
    room = interrupted(tiny, tmp_path / "out", monkeypatch)
    (room / "model" / "stray").write_text("")
    result = run("quantize", tiny, tmp_path / "out", *OPTIONS, "--bits", bits)
    assert result.exit_code == 0
    text = f"refq: {room}: what a killed run had finished there is discarded; {how} would have continued it"
    assert result.stderr.splitlines().count(text) == 1
    assert run("quantize", tiny, tmp_path / "anew", *OPTIONS, "--bits", bits).exit_code == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "anew")
    assert sorted(os.listdir(tmp_path)) == ["anew", "out"]


def test_leftovers_of_a_run_that_had_finished_nothing_are_not_named(tiny, tmp_path, monkeypatch):
    room = interrupted(tiny, tmp_path / "out", monkeypatch)
    (room / "journal").write_text((room / "journal").read_text().splitlines(keepends=True)[0])
    result = run("quantize", tiny, tmp_path / "out", *OPTIONS)
    assert result.exit_code == 0
    assert "discarded" not in result.stderr


def test_resume_with_nothing_to_resume_and_of_what_is_finished(tiny, whole, tmp_path):
    for _ in range(2):
        result = run("quantize", tiny, tmp_path / "out", *OPTIONS, "--resume", "--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)["kinds"]
        assert digests(tmp_path / "out") == whole
    result = run("quantize", tiny, tmp_path / "out", *OPTIONS, "--bits", 8, "--resume")
    assert result.exit_code == 3
    assert "options.bits was 4, is 8" in result.stderr
    assert digests(tmp_path / "out") == whole
    shutil.rmtree(tmp_path / "out")
    shutil.copytree(tiny, tmp_path / "out")
    result = run("quantize", tiny, tmp_path / "out", *OPTIONS, "--resume")
    assert result.exit_code == 3
    assert "holds no run record" in result.stderr


def test_metadata_that_is_none_of_ours_is_no_run_record(tiny, tmp_path):
    out = shutil.copytree(tiny, tmp_path / "out")
    save(out / "model.safetensors", load_file(out / "model.safetensors"), {"format": "pt", "refq": "[1]"})
    result = run("quantize", tiny, out, *OPTIONS, "--resume")
    assert result.exit_code == 3
    assert "holds no run record" in result.stderr


def test_an_output_that_appears_meanwhile_is_not_replaced(tiny, tmp_path, monkeypatch):
    plain = output.publish

    def publish(room, out, replace):
        shutil.copytree(tiny, out)
        plain(room, out, replace)

    monkeypatch.setattr(output, "publish", publish)
    result = run("quantize", tiny, tmp_path / "out", *OPTIONS)
    assert result.exit_code == 3
    assert "has appeared meanwhile" in result.stderr
    assert digests(tmp_path / "out") == digests(tiny)


def test_the_python_api_resumes_too(tiny, whole, tmp_path, monkeypatch):
    interrupted(tiny, tmp_path / "out", monkeypatch)
    quantize_model(tiny, tmp_path / "out", reference, Options(4, 8), resume=True)
    assert digests(tmp_path / "out") == whole
