"""How the tests of the command line call it: in this process, or in one of its own."""

import hashlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from refq.app.main import main
from refq.files.checkpoint import linear_names, open_checkpoint
from refq.jobs import trainer
from tests.files.models import model

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def refq(*arguments):
    """Run a command here; gives exit_code, stdout and stderr."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="refq")


def start(*arguments, **options):
    """Start a command in a process of its own."""
    environment = os.environ | {"PYTHONPATH": ROOT} | options.pop("env", {})
    command = [sys.executable, *options.pop("python", ["-m", "refq"]), *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


_MEASURED = """
import sys
from refq.app.main import main
try:
    main(sys.argv[1:])
finally:
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("peak", 1024 * int(peak.split()[1]), file=sys.stderr)
"""
HAS_PEAK = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of one program is in /proc")


def measured(*arguments, **options):
    """Run a command in a process of its own; gives stderr, and the most memory that it had, in bytes."""
    process = start(*arguments, python=["-c", _MEASURED], **options)
    _, said = process.communicate()
    assert process.returncode == 0, said
    return said, int(said.split("peak")[1])


def promised(said):
    """The bytes of memory that a command said it needs."""
    number, unit = re.search(r"about (\S+) (\w)B of memory", said).groups()
    return float(number) * {"M": 1e6, "G": 1e9}[unit]


def interrupted(monkeypatch, stop, *arguments):
    """Run a training here that Ctrl-C ends when it has saved its state `stop` times."""
    real, calls = trainer.save_state, []

    def save(*args):
        real(*args)
        calls.append(1)
        if len(calls) == stop:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_state", save)
        found = refq(*arguments)
    assert found.exit_code == 130
    assert "--resume continues" in found.stderr


def digests(directory):
    """File name -> sha256 of its bytes."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.iterdir())}


def small(directory, dtype=np.float32, **changes):
    """A tiny float model whose linear layers take groups of 8."""
    return model(directory, dtype, **changes)


def decoded(directory):
    """Every quantized weight of a directory as float32, by the words of the format alone: no packing of refq."""
    checkpoint = open_checkpoint(directory)
    for layer in linear_names(checkpoint.config):
        if layer in checkpoint.schemes:
            prefix = f"{layer}.weight_"
            parts = [name.removeprefix(prefix) for name in checkpoint.tensors if name.startswith(prefix)]
            tensors = {part: checkpoint.read(prefix + part) for part in parts}
            q, scale, zero_point = decode(tensors, checkpoint.schemes[layer])
            scale, zero_point = (
                np.repeat(np.broadcast_to(value, (len(q), value.shape[1])), q.shape[1] // value.shape[1], axis=1)
                for value in (scale, zero_point)
            )
            yield layer, (q - zero_point).astype(np.float32) * scale


def decode(tensors, scheme):
    """Codes int64 (rows, columns), scale and zero point (rows or 1, groups) of packed, scale, shape and zero_point."""
    rows, columns = tensors["shape"]
    q = _codes(tensors["packed"], scheme.bits, columns)
    scale = tensors["scale"].reshape(-1, 1) if scheme.strategy == "tensor" else tensors["scale"]
    zero_point = np.zeros(scale.shape, np.int64)
    if not scheme.symmetric:
        stored, packed = tensors["zero_point"], scheme.strategy != "tensor"
        zero_point = _codes(stored.T, scheme.bits, rows).T if packed else stored.reshape(1, 1).astype(np.int64)
    return q, scale, zero_point


def _codes(words, bits, length):
    stream = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
    fields = stream[:, : length * bits].reshape(len(words), length, bits).astype(np.int64)
    return fields @ (1 << np.arange(bits)) - 2 ** (bits - 1)
