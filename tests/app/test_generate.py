"""refq generate: known text to the byte; exactly the text on stdout; sampling by hand; every reason to stop."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import refq
from refq.app.main import main
from refq.errors import UsageError
from refq.files.tokenizer import open_tokenizer
from refq.jobs.generate import Sampling, generate, sample
from refq.jobs.model import load_model, operations
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model
from refq.jobs.running import open_model
from tests.app.commands import ROOT
from tests.app.tiny import write_model
from tests.support import both

ENGINES = pytest.mark.parametrize("engine", ["reference", "fast"])
POSITIONS = 256


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A seeded model, and its 4-bit copy."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "float")
    quantize_model(folder / "float", folder / "w4", refq, Options())
    return folder


def run(*args):
    return CliRunner().invoke(main, ["generate", *map(str, args)])


def continued(engine, model, tokens, sampling, ends=()):
    seen = []
    report = generate(engine, model, tokens, ends, sampling, seen.append)
    assert seen == report.tokens
    return report


class Fixed:
    """Gives the random numbers it was given."""

    def __init__(self, *values):
        self.values = iter(values)

    def random(self):
        return next(self.values)


@both
@pytest.mark.parametrize("name", ["float", "w4"])
def test_greedy_is_the_argmax_of_the_whole_forward(engine, tiny, name):
    config, params = load_model(tiny / name, engine)
    tokens = [256, 84, 104, 101]
    for _ in range(12):
        logits = engine.llama_forward(params, np.array([tokens], np.int32), config)
        tokens.append(int(logits[0, -1].argmax()))
    assert continued(engine, (config, params), tokens[:4], Sampling(max_tokens=12)).tokens == tokens[4:]


@both
def test_ends_for_the_reason_it_says(engine, tiny):
    model = load_model(tiny / "float", engine)
    free = continued(engine, model, [256], Sampling(max_tokens=10))
    assert (len(free.tokens), free.reason) == (10, "max_tokens")
    end = free.tokens[4]
    first = free.tokens.index(end)
    stopped = continued(engine, model, [256], Sampling(max_tokens=10), ends=(end,))
    assert (stopped.tokens, stopped.reason) == (free.tokens[:first], "end")
    full = continued(engine, model, [65] * POSITIONS, Sampling(max_tokens=10))
    assert (len(full.tokens), full.reason) == (1, "positions")
    full = continued(engine, model, [65] * (POSITIONS - 3), Sampling(max_tokens=4))
    assert (len(full.tokens), full.reason) == (4, "max_tokens")


@both
def test_seed_decides(engine, tiny):
    model = load_model(tiny / "float", engine)
    made = [continued(engine, model, [256], Sampling(30, 1.0, 0.9, seed)).tokens for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_sample_by_hand():
    logits = np.log(np.float32([0.125, 0.5, 0.25, 0.125]))
    assert sample(np.float32([1, 3, 3]), 0.0, 1.0, None) == 1
    # sorted: 1 (0.5), 2 (0.25), 0 (0.125), 3 (0.125), equals in the order of their ids
    assert [sample(logits, 1.0, 1.0, Fixed(u)) for u in (0.0, 0.49, 0.51, 0.74, 0.76, 0.87, 0.88, 1 - 2**-53)] == [
        *(1, 1, 2, 2, 0, 0, 3, 3)
    ]
    # 0.5 of the probability: token 1 alone; 0.6: tokens 1 and 2, drawn 2 : 1
    assert [sample(logits, 1.0, 0.4999, Fixed(u)) for u in (0.0, 0.99)] == [1, 1]
    assert [sample(logits, 1.0, 0.6, Fixed(u)) for u in (0.66, 0.67)] == [1, 2]
    # temperature 1/2 squares the probabilities: 16 : 4 : 1 : 1
    assert [sample(logits, 0.5, 1.0, Fixed(u)) for u in (0.72, 0.74, 0.90, 0.92, 0.98)] == [1, 2, 2, 0, 3]
    assert sample(np.float32([1, 2, -3]), 1e-320, 1.0, Fixed(0.5)) == 1


def test_sample_follows_the_distribution():
    random, logits = np.random.Generator(np.random.PCG64(0)), np.log(np.float32([0.1, 0.6, 0.3]))
    counts = np.bincount([sample(logits, 1.0, 1.0, random) for _ in range(6000)], minlength=3)
    assert np.abs(counts / 6000 - [0.1, 0.6, 0.3]).max() < 0.025


@both
def test_refuses_bad_values(engine, tiny):
    model = load_model(tiny / "float", engine)
    for tokens, sampling in (
        ([], Sampling()),
        ([65] * (POSITIONS + 1), Sampling()),
        ([65], Sampling(max_tokens=0)),
        ([65], Sampling(temperature=-0.1)),
        ([65], Sampling(temperature=float("nan"))),
        ([65], Sampling(temperature=float("inf"))),
        ([65], Sampling(temperature=1.0, top_p=0.0)),
        ([65], Sampling(temperature=1.0, top_p=1.1)),
        ([65], Sampling(seed=-1)),
    ):
        with pytest.raises(UsageError, match="takes|needed"):
            continued(engine, model, tokens, sampling)


@ENGINES
@pytest.mark.parametrize("prompt", ["", "The clock", "Zoë und 漢字\n"])
def test_standard_output_is_the_text(engine, tiny, prompt):
    args = (tiny / "w4", "--prompt", prompt, "--max-tokens", 40, "--engine", engine)
    result = run(*args, "--stats")
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes == run(*args).stdout_bytes
    tokenizer, loaded = open_tokenizer(tiny / "w4", 258), load_model(tiny / "w4", refq)
    tokens = tokenizer.encode(prompt)
    made = continued(refq, loaded, tokens, Sampling(max_tokens=40), ends=[257]).tokens
    assert result.stdout_bytes == tokenizer.decode([*tokens, *made]).encode()
    assert result.stdout_bytes.startswith(prompt.encode())
    for word in ("prefill", "decode", "tokens/s"):
        assert word in result.stderr


def test_streams_while_it_works(tiny):
    program = [sys.executable, "-c", "from refq.app.main import main; main()", "generate", str(tiny / "float")]
    args = ["--prompt", "The clock", "--max-tokens", "200", "--engine", "reference"]
    with subprocess.Popen(program + args, stdout=subprocess.PIPE, env={"LC_ALL": "C", "PYTHONUTF8": "0"}) as process:
        assert process.stdout.read(9) == b"The clock"
        assert len(process.stdout.read()) > 100
    assert process.returncode == 0


def test_a_terminal_gets_a_line_end_and_a_file_does_not(tiny):
    pty = pytest.importorskip("pty", reason="this system has no terminals of its own making")
    args = ["generate", str(tiny / "float"), "--max-tokens", "3", "--prompt", "The", "--engine", "reference"]
    text = CliRunner().invoke(main, args).stdout_bytes
    ours, theirs = pty.openpty()
    assert subprocess.run([sys.executable, "-m", "refq", *args], cwd=ROOT, stdout=theirs).returncode == 0
    os.close(theirs)
    assert os.read(ours, 4096).endswith(b"\r\n")
    os.close(ours)
    assert not text.endswith(b"\n")


def test_says_where_it_stopped(tiny):
    result = run(tiny / "float", "--prompt", "x" * 250, "--max-tokens", 100, "--engine", "reference")
    assert result.exit_code == 0
    assert "stopped at the model's last position, 256" in result.stderr


def test_top_p_without_temperature_is_told(tiny):
    args = (tiny / "float", "--max-tokens", 2, "--top-p", 0.5)
    assert run(*args).stderr == "refq: --top-p has no effect at temperature 0\n"
    assert run(*args, "--temperature", 1).stderr == ""


def test_refuses_in_one_sentence(tiny, tmp_path):
    write_model(tmp_path / "silent")
    for name, key in (
        ("config", "bos_token_id"),
        ("generation_config", "bos_token_id"),
        ("tokenizer_config", "bos_token"),
    ):
        _edit(tmp_path / "silent" / f"{name}.json", key, None)
    _edit(tmp_path / "silent" / "tokenizer.json", "post_processor", None)
    model = tiny / "float"
    for args, code, words in (
        (("nowhere",), 2, "nowhere"),
        ((tmp_path,), 3, "config.json"),
        ((model, "--prompt", "x" * 256), 2, "the prompt has 257 tokens; this model takes 1..256"),
        ((model, "--prompt", "\udcff"), 2, "the prompt is not UTF-8"),
        ((model / "config.json",), 2, "'MODEL': it must be a model directory or a .gguf file; "),
        ((model, "--temperature", -1), 2, "'--temperature': -1.0 is not in the range x>=0"),
        ((model, "--temperature", "nan"), 2, "temperature=nan; 0 <="),
        ((model, "--top-p", 0), 2, "'--top-p': 0.0 is not in the range 0<x<=1"),
        ((model, "--top-p", "nan"), 2, "top_p=nan; 0 <"),
        ((model, "--max-tokens", 0), 2, "--max-tokens"),
        ((model, "--activations", 1), 2, "'1' is not 'stored', 'off' or a number of 2..16"),
        ((model, "--head-bits", 9), 2, "'--head-bits': 9 is not in the range 2<=x<=8"),
        ((model, "--cache-bits", 4), 2, "'--cache-bits': 4 is not in the range 8<=x<=8"),
        ((tmp_path / "silent",), 2, "a prompt is needed"),
    ):
        result = run(*args)
        assert (result.exit_code, result.stdout) == (code, ""), (args, result.output)
        assert words in result.stderr, (args, result.stderr)
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr


@both
@pytest.mark.parametrize("bits", [("off", 8), (8, None), (15, 4), (8, 2), ("off", None, 8), (8, 8, 8)])
def test_fewer_bits_are_those_of_the_forward_pass(engine, tiny, bits):
    """Prompts of one token and of many: each next one is the likeliest, or nearly so, where codes stand near a tie."""
    model = open_model(tiny / "w4", engine, *bits)
    config, params = model
    for start in ([256], [256, 84, 104, 101, 32, 99, 108, 111, 99, 107]):
        tokens = start + continued(engine, model, start, Sampling(max_tokens=12)).tokens
        ops = operations(engine, config)
        logits = engine.llama_forward(params, np.array([tokens], np.int32), config, ops)[0, len(start) - 1 : -1]
        chosen = logits[np.arange(12), tokens[len(start) :]]
        assert (logits.max(axis=1) - chosen <= 0.02 * np.abs(logits).max(axis=1)).all()


@ENGINES
def test_text_with_fewer_bits(tiny, engine):
    args = (tiny / "w4", "--prompt", "The clock", "--max-tokens", 40, "--engine", engine)
    texts = [run(*args, *more).stdout_bytes for more in ((), ("--head-bits", 2), ("--cache-bits", 8))]
    assert all(text.startswith(b"The clock") for text in texts)
    assert texts[0] != texts[1]
    result = run(*args, "--activations", 8, "--head-bits", 8, "--cache-bits", 8, "--stats")
    assert (result.exit_code, result.stdout_bytes[:9]) == (0, b"The clock"), result.output


@ENGINES
def test_known_greedy_text(data, engine):
    folder = data / "models" / "stories260K"
    result = run(folder, "--engine", engine, "--max-tokens", 200)
    assert result.stdout_bytes == (folder / "original" / "expected_greedy_200.txt").read_bytes()


@ENGINES
def test_eight_bits_still_speak(data, engine, tmp_path):
    folder = data / "models" / "stories260K"
    quantize_model(folder, tmp_path / "w8", refq, Options(bits=8, group_size="channel"))
    result = run(tmp_path / "w8", "--engine", engine, "--max-tokens", 200)
    assert result.exit_code == 0, result.output
    expected = (folder / "original" / "expected_greedy_200.txt").read_bytes()
    assert result.stdout_bytes[:100] == expected[:100]


def _edit(path, key, value):
    raw = json.loads(path.read_text())
    raw[key] = value
    path.write_text(json.dumps(raw))
