"""refq quantize --method: codebooks in files, the same whoever computes and whatever interrupts; and --compare."""

import errno
import json
import os

import numpy as np
import pytest

import refq
import refq_fast
from refq.files.checkpoint import linear_names, open_checkpoint
from refq.jobs.inspect import inspect_model
from refq.jobs.model import load_model
from refq.jobs.plan import METHODS, Options
from refq.jobs.quantize import quantize_model
from refq.jobs.schemes import compare, compared_options
from tests.app.commands import digests, small
from tests.app.commands import refq as run
from tests.app.test_kill import failing, number_of_calls, raising
from tests.app.tiny import TEXT, write_model
from tests.files.models import arrays, save, write_config

SCHEMES = [(method, bits) for method in METHODS[1:] for bits in (1, 3, 4, 8) if method != "nf4" or bits == 4]
OPTIONS = ("--method", "kmeans", "--bits", 3, "--group-size", 8, "--engine", "reference")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return small(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def speaking(tmp_path_factory):
    write_model(tmp_path_factory.mktemp("speaking") / "model")
    return tmp_path_factory.getbasetemp() / "speaking0" / "model"


def fitted(w, options, name):
    """The weights that a reader must see: fitted by the reference, entries rounded to float16."""
    axis = None if options.group_size == "tensor" else -1
    groups = refq.to_groups(w, options.group_size if isinstance(options.group_size, int) else None, axis)
    functions = {"quantile": refq.quantile_codebook}
    if options.method == "nf4":
        codebook, index = refq.nf4_codebook() * np.abs(groups).max(axis=-1, keepdims=True), None
    elif options.method == "kmeans":
        shape = (*groups.shape[:-1], 2**options.bits)
        draws = (np.random.PCG64(list(name.encode())).random_raw(np.prod(shape)) >> np.uint64(11)) / 2.0**53
        codebook, _ = refq.lloyd(groups, refq.kmeans_plus_plus_init(groups, shape[-1], draws.reshape(shape)), 3)
    else:
        size = 2**options.bits if options.method == "kmeans_optimal" else options.bits
        codebook, index = functions.get(options.method, getattr(refq, options.method, None))(groups, size)
    codebook = codebook.astype(np.float16).astype(np.float32)
    if not options.method.startswith("linear"):
        index = np.abs(groups[..., None].astype(np.float64) - codebook[..., None, :]).argmin(axis=-1)
    return refq.from_groups(np.take_along_axis(codebook, index.astype(np.int64), axis=-1), w.shape, axis)


def decoded(directory):
    """Every quantized weight as float32, by the words of the format alone: no packing of refq."""
    checkpoint = open_checkpoint(directory)
    for layer in linear_names(checkpoint.config):
        packed, codebook = (checkpoint.read(f"{layer}.weight_{part}") for part in ("index", "codebook"))
        books, groups, entries = codebook.shape
        bits = entries.bit_length() - 1
        numbers = [int.from_bytes(row.tobytes(), "little") for row in packed]
        columns = packed.shape[1] * 8 // bits // groups * groups
        shape = inspect_shape(checkpoint, layer)
        assert columns - 8 < shape[1] <= columns
        index = np.array([[n >> (bits * i) & (entries - 1) for i in range(shape[1])] for n in numbers])
        tables = np.broadcast_to(codebook, (shape[0], groups, entries)).astype(np.float32)
        yield layer, np.take_along_axis(tables, index.reshape(shape[0], groups, -1), axis=-1).reshape(shape)


def inspect_shape(checkpoint, layer):
    rows = inspect_model(checkpoint.directory)["tensors"]
    return next(tuple(row["shape"]) for row in rows if row["name"] == f"{layer}.weight")


@pytest.mark.parametrize("group_size", [8, "channel", "tensor"])
@pytest.mark.parametrize(("method", "bits"), SCHEMES)
def test_every_scheme_reads_back_as_it_was_fitted(method, bits, group_size, tiny, tmp_path):
    options = Options(bits, group_size, method=method)
    quantize_model(tiny, tmp_path / "out", refq_fast, options)
    originals, found = open_checkpoint(tiny), dict(decoded(tmp_path / "out"))
    assert len(found) == 14
    for layer, weight in found.items():
        w = originals.read(f"{layer}.weight")
        np.testing.assert_array_equal(weight, fitted(w, options, f"{layer}.weight"), err_msg=layer)


@pytest.mark.parametrize(
    "options",
    [
        Options(2, 8, method="kmeans"),
        Options(3, "channel", method="kmeans_optimal"),
        Options(4, "tensor", method="nf4"),
    ],
    ids=str,
)
def test_both_engines_and_any_number_of_threads_write_the_same_bytes(options, tiny, tmp_path):
    quantize_model(tiny, tmp_path / "reference", refq, options)
    flags = ("--bits", options.bits, "--group-size", options.group_size, "--method", options.method)
    for threads in (1, 2):
        assert run("quantize", tiny, tmp_path / str(threads), *flags, "--threads", threads).exit_code == 0
        assert digests(tmp_path / str(threads)) == digests(tmp_path / "reference")


def test_chunks_of_rows_do_not_show(tiny, tmp_path, monkeypatch):
    for size in ("tensor", "channel"):
        quantize_model(tiny, tmp_path / size, refq, Options(3, size, method="kmeans"))
    monkeypatch.setattr("refq.jobs.plan.ROW_CHUNK", 48)
    for size in ("tensor", "channel"):
        quantize_model(tiny, tmp_path / f"{size}-chunks", refq, Options(3, size, method="kmeans"))
        assert digests(tmp_path / f"{size}-chunks") == digests(tmp_path / size)


def test_killed_at_every_point_and_resumed(tiny, tmp_path, monkeypatch):
    assert run("quantize", tiny, tmp_path / "whole", *OPTIONS).exit_code == 0
    whole, total = digests(tmp_path / "whole"), number_of_calls(monkeypatch, "quantize", tiny, tmp_path / "n", *OPTIONS)
    for number in range(1, total, 7):
        out = tmp_path / str(number)
        with monkeypatch.context() as patch:
            failing(patch, number, raising(errno.ENOSPC))
            assert run("quantize", tiny, out, *OPTIONS).exit_code == 4
        assert not out.exists()
        assert run("quantize", tiny, out, *OPTIONS, "--resume").exit_code == 0
        assert digests(out) == whole


def test_another_method_is_not_resumed(tiny, tmp_path):
    assert run("quantize", tiny, tmp_path / "out", *OPTIONS).exit_code == 0
    result = run("quantize", tiny, tmp_path / "out", "--method", "quantile", *OPTIONS[2:], "--resume")
    assert result.exit_code == 3
    assert "method" in result.stderr


def test_fallback_and_keep(tiny, tmp_path):
    options = Options(2, 32, fallback="channel", keep=("v_proj",), method="quantile")
    quantize_model(tiny, tmp_path / "out", refq, options)
    checkpoint = open_checkpoint(tmp_path / "out")
    strategies = {layer.rpartition(".")[2]: scheme.strategy for layer, scheme in checkpoint.schemes.items()}
    assert strategies == dict.fromkeys(("q_proj", "k_proj", "o_proj", "gate_proj", "up_proj"), "channel") | {
        "down_proj": "group"
    }
    raw = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    assert raw["ignore"] == ["lm_head", "model.layers.0.self_attn.v_proj", "model.layers.1.self_attn.v_proj"]


def test_what_inspect_says(tiny, tmp_path):
    assert run("quantize", tiny, tmp_path / "out", *OPTIONS).exit_code == 0
    text = run("inspect", tmp_path / "out").stdout
    assert "index3 8 kmeans" in text
    assert "quantize: kmeans, bits 3, group 8, fallback refuse, keep nothing" in text
    recorded, measured = (
        [(row["sqnr_db"], row["max_error"]) for row in inspect_model(tmp_path / "out", *more)["tensors"]]
        for more in ((), (tiny, refq))
    )
    assert [pair for pair in recorded if pair[0]] == [pair for pair in measured if pair[0]]
    row = next(row for row in inspect_model(tmp_path / "out")["tensors"] if "q_proj" in row["name"])
    assert row["bits_per_weight"] == 3 + 8 * 16 / 8, "the codebooks are counted"


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_everything_that_reads_models_reads_it(engine, speaking, tmp_path):
    out = tmp_path / "out"
    flags = ("--method", "kmeans", "--bits", 4, "--group-size", "channel")
    assert run("quantize", speaking, out, *flags).exit_code == 0
    scored = run("perplexity", out, "--text", TEXT, "--context", 64, "--engine", engine, "--json")
    whole = run("perplexity", speaking, "--text", TEXT, "--context", 64, "--engine", engine, "--json")
    assert abs(json.loads(scored.stdout)["nats_per_token"] - json.loads(whole.stdout)["nats_per_token"]) < 0.2
    assert run("generate", out, "--prompt", "The", "--max-tokens", 3, "--engine", engine).exit_code == 0
    _, params = load_model(out, {"fast": refq_fast, "reference": refq}[engine])
    assert sum(type(value).__name__ == "CodebookWeight" for value in params.values()) == 14
    task = tmp_path / "task.jsonl"
    task.write_text('{"context": "a", "options": [" b", " c"], "answer": 0}\n')
    assert run("evaluate", out, "--task", task, "--engine", engine).exit_code in (0, 3)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--method", "kmeans", "--range", "mse"), "--method kmeans does not go with --range"),
        (("--method", "kmeans", "--asymmetric"), "--method kmeans does not go with --symmetric"),
        (("--method", "kmeans", "--range", "minmax"), "does not go with --range"),
        (("--method", "nf4", "--bits", "3"), "bits is 3; --method nf4 takes 4"),
        (("--bits", "1"), "bits is 1; --method affine takes 2..8"),
        (("--bits", "2,3"), "--compare alone takes them"),
        (("--bits", "2,2"), "nor several like 2,3,4"),
        (("--method", "best"), "--method"),
        (("--text", __file__), "without --compare does not go with --text"),
        (("--compare",), "--compare does not go with OUT"),
    ],
)
def test_options_that_cannot_be(flags, text, tiny, tmp_path):
    result = run("quantize", tiny, tmp_path / "out", *flags)
    assert result.exit_code == 2
    assert text in result.stderr
    assert os.listdir(tmp_path) == []


def test_out_is_needed(tiny):
    result = run("quantize", tiny)
    assert (result.exit_code, "OUT is missing" in result.stderr) == (2, True)


@pytest.mark.parametrize("method", ["kmeans", "linear_round", "nf4"])
def test_an_entry_beyond_float16_is_found_before_anything_is_written(method, tmp_path):
    write_config(tmp_path / "model")
    tensors = arrays(tmp_path / "model")
    tensors["model.layers.1.mlp.down_proj.weight"][3] = 7e4
    save(tmp_path / "model" / "model.safetensors", tensors)
    result = run("quantize", tmp_path / "model", tmp_path / "out", "--method", method, "--group-size", 8)
    assert result.exit_code == 3
    assert "model.layers.1.mlp.down_proj.weight: an entry of a codebook is " in result.stderr
    assert os.listdir(tmp_path) == ["model"]


def test_compare_is_what_quantize_and_perplexity_give(speaking, tmp_path):
    chosen = [Options(3, "channel", method="kmeans"), Options(4, 32, False), Options(4, "tensor", method="nf4")]
    whole, *rows = compare(speaking, refq_fast, chosen, TEXT, context=64)
    assert whole["method"] == "float"
    for number, (options, row) in enumerate(zip(chosen, rows, strict=True)):
        out = tmp_path / str(number)
        quantize_model(speaking, out, refq_fast, options)
        scored = json.loads(run("perplexity", out, "--text", TEXT, "--context", 64, "--json").stdout)
        assert abs(row["perplexity"] / scored["perplexity"] - 1) < 1e-5
        layers = [line for line in inspect_model(out)["tensors"] if line["sqnr_db"] is not None]
        weights = [np.prod(line["shape"]) for line in layers]
        bits = np.average([line["bits_per_weight"] for line in layers], weights=weights)
        assert abs(row["bits_per_weight"] / bits - 1) < 1e-5
        assert min(line["sqnr_db"] for line in layers) <= row["sqnr_db"] <= max(line["sqnr_db"] for line in layers)


def test_the_table_of_all_schemes(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("quantize", tiny, "--compare", "--bits", "1,4")
    assert result.exit_code == 0, result.stderr
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["scheme", "bits", "per", "bits/weight", "dB"]
    assert len(lines) == 1 + len(compared_options((1, 4))) == 1 + 10 + 6 + 10 + 2
    assert os.listdir(tmp_path) == []
    sized = json.loads(run("quantize", tiny, "--compare", "--bits", 2, "--group-size", 8, "--json").stdout)["schemes"]
    assert {row["group_size"] for row in sized[1:]} == {8}
    best = max(sized[1:], key=lambda row: row["sqnr_db"])
    assert best["method"] == "kmeans_optimal", "the optimum of its codebook"
