"""refq analyze sensitivity: what quantize and perplexity give for each layer, a table, a CSV and a picture."""

import csv
import json
import sys

import numpy as np
import pytest

import refq
from refq.files.checkpoint import linear_names, open_checkpoint
from refq.files.tokenizer import open_tokenizer
from refq.jobs import model as model_job
from refq.jobs import sensitivity as job
from refq.jobs.model import load_model
from refq.jobs.perplexity import cut_windows, perplexity
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model
from refq.jobs.sensitivity_figures import COLUMNS, rows
from refq.ops.namespace import Replaced
from refq.training.activations import QuantizedInput, quantized_inputs
from refq.training.student import PROJECTIONS
from tests.app.commands import refq as run
from tests.app.tiny import CONTEXT, TEXT, write_model
from tests.support import both

OPTIONS = Options(bits=3, group_size=16, symmetric=False, range="mse")
ARGUMENTS = ("--bits", 3, "--group-size", 16, "--asymmetric", "--range", "mse", "--context", 32, "--tokens", 200)
PLACES = [(0, "o"), (1, "down"), (1, "k"), (None, "gate"), (0, None), (None, None)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sensitivity") / "float"
    write_model(folder)
    return folder


@pytest.fixture
def no_picture(monkeypatch):
    """An installation without the report extra."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "refq.app.sensitivity_plot", raising=False)


def measured(tiny, engine, activations=None):
    return job.sensitivity(tiny, TEXT, engine, OPTIONS, 32, 200, activations)


def row(found, part, block, projection):
    [one] = [r for r in rows(found) if (r["part"], r["block"], r["projection"]) == (part, block, projection)]
    return one


def analyze(tiny, *more):
    return run("analyze", "sensitivity", tiny, "--text", TEXT, *ARGUMENTS, *more)


def layers_of(config, block, projection):
    blocks = range(config["num_hidden_layers"]) if block is None else [block]
    return [f"model.layers.{n}.{PROJECTIONS[p]}" for n in blocks for p in PROJECTIONS if projection in (p, None)]


@both
def test_weights_are_as_quantize_and_perplexity_have_them(engine, tiny, tmp_path):
    found, config = measured(tiny, engine), open_checkpoint(tiny).config
    for number, place in enumerate(PLACES):
        chosen = layers_of(config, *place)
        keep = tuple(name for name in linear_names(config) if name not in chosen)
        quantize_model(tiny, tmp_path / str(number), refq, OPTIONS._replace(keep=keep))
        expected = perplexity(tmp_path / str(number), TEXT, engine, 32, 200, original=tiny)
        one = row(found, "weight", *place)
        assert expected["kl"] > 1e-4
        assert one["kl"] == pytest.approx(expected["kl"], rel=1e-3)
        assert one["perplexity"] == pytest.approx(expected["perplexity"], rel=1e-5)
        assert one["top1_agreement"] == pytest.approx(expected["top1_agreement"], abs=0.011)
    original = perplexity(tiny, TEXT, engine, 32, 200)
    assert found.original == pytest.approx(original["nats_per_token"], rel=1e-6)
    assert (found.scored, found.windows) == (original["tokens_scored"], original["windows"])


@both
def test_inputs_and_channels_by_hand(engine, tiny):
    found, (config, params) = measured(tiny, engine, 4), load_model(tiny, refq)
    tokenizer = open_tokenizer(tiny, config["vocab_size"])
    windows = cut_windows(tokenizer.encode(TEXT.read_text(encoding="utf-8"))[:200], 32)
    seen = {}

    def linear(x, weight, bias=None):
        seen[id(weight)] = np.sort(np.abs(x).reshape(-1, x.shape[-1]).max(axis=0))
        return refq.linear(x, weight, bias)

    log_p = _log_softmax(refq.llama_forward(params, windows[:, :-1], config, Replaced(refq, linear=linear)))
    for block in range(2):
        for kind, name in enumerate(PROJECTIONS.values()):
            maxima = seen[id(params[f"model.layers.{block}.{name}.weight"])]
            middle = (maxima[(len(maxima) - 1) // 2] + maxima[len(maxima) // 2]) / 2
            assert found.channels[block, kind] == pytest.approx(maxima[-1] / middle, rel=1e-4)
    for place in PLACES:
        names = [f"{layer}.weight" for layer in layers_of(config, *place)]
        altered = params | {name: QuantizedInput(params[name], 4) for name in names}
        log_q = _log_softmax(refq.llama_forward(altered, windows[:, :-1], config, quantized_inputs(refq)))
        one = row(found, "input", *place)
        assert one["kl"] == pytest.approx((np.exp(log_p) * (log_p - log_q)).sum(axis=-1).mean(), rel=2e-2)


def _log_softmax(logits):
    x = logits.astype(np.float64)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def test_pieces_change_nothing(tiny, monkeypatch):
    whole = measured(tiny, refq, 8)
    for numbers in (2000, 40_000):
        monkeypatch.setattr(model_job, "NUMBERS", numbers)
        found = measured(tiny, refq, 8)
        np.testing.assert_allclose(found.kl, whole.kl, rtol=1e-3, atol=1e-7)
        np.testing.assert_allclose(found.nats, whole.nats, rtol=1e-6)
        np.testing.assert_allclose(found.channels, whole.channels, rtol=1e-5)


def test_only_the_blocks_from_the_altered_one_on_run(tiny, monkeypatch):
    seen, real = [], job.llama_block
    monkeypatch.setattr(job, "llama_block", lambda p, x, layer, *rest: seen.append(layer) or real(p, x, layer, *rest))
    found = job.sensitivity(tiny, TEXT, refq, OPTIONS, CONTEXT, CONTEXT)
    assert found.windows == 1
    # the original; 7 layers of block 0 and all of it; those of block 1; 7 kinds and all
    assert (seen.count(0), seen.count(1)) == (1 + 8 + 8, 1 + 8 + 8 + 8)


def test_the_default_is_what_there_is(tiny, monkeypatch):
    length = len(open_tokenizer(tiny, 258).encode(TEXT.read_text(encoding="utf-8")))
    monkeypatch.setattr(job, "_compared", lambda engine, model, altered, windows: windows)
    for most, context, windows in [(70, 32, 2), (70, 100, 1), (10**9, 256, length // 256)]:
        monkeypatch.setattr(job, "TOKENS", most)
        assert job.sensitivity(tiny, TEXT, refq, OPTIONS, context).shape == (windows, context)


def test_rows_and_csv(tiny, tmp_path):
    out = tmp_path / "found.csv"
    result = analyze(tiny, "--activations", 4, "--out", out, "--json", "--engine", "reference")
    assert result.exit_code == 0, result.stderr
    assert "of memory are needed" in result.stderr
    report = json.loads(result.stdout)
    assert (report["out"], report["csv"], report["windows"]) == (None, str(out), 6)
    with open(out, encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert tuple(read[0]) == COLUMNS
    assert read == [{k: "" if v is None else str(v) for k, v in row.items()} for row in report["rows"]]
    assert len(read) == len({tuple(row[key] for key in COLUMNS[:4]) for row in read}) == 2 * 3 * 8
    for one in report["rows"]:
        apart = [
            r["kl"]
            for r in report["rows"]
            if (r["part"], r["level"]) == (one["part"], "layer")
            and all(one[key] in (r[key], None) for key in ("block", "projection"))
        ]
        assert one["kl_apart"] == pytest.approx(sum(apart))
        assert len(apart) == {"layer": 1, "kind": 2, "block": 7, "all": 14}[one["level"]]
        assert (one["channel_ratio"] is None) == (one["level"] != "layer")


def test_the_table_has_the_worst_first(tiny):
    result = analyze(tiny)
    assert result.exit_code == 0, result.stderr
    alone, together, *_ = result.stdout.split("\n\n")
    kl = [float(line.split()[3]) for line in alone.splitlines()[1:]]
    assert len(kl) == 14
    assert kl == sorted(kl, reverse=True)
    names = [line.split("  ")[0] for line in together.splitlines()[1:]]
    assert names[0] == "all"
    assert (set(names[1:8]), set(names[8:])) == (set(PROJECTIONS), {"block 0", "block 1"})


@pytest.mark.parametrize("inputs", [("--fallback", "channel"), ("--activations", 8)])
@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_picture(suffix, begins, inputs, tiny, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    out = tmp_path / f"picture.{suffix}"
    result = analyze(tiny, *inputs, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    assert out.read_bytes().startswith(begins)
    assert (tmp_path / "picture.csv").exists()
    first = out.read_bytes()
    assert analyze(tiny, *inputs, "--out", out).exit_code == 2
    assert analyze(tiny, *inputs, "--out", out, "--overwrite").exit_code == 0
    assert out.read_bytes() == first


def test_a_picture_of_nothing_and_of_infinity(tiny):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from refq.app.sensitivity_plot import picture

    found = measured(tiny, refq)
    for kl in (np.zeros_like(found.kl), np.full_like(found.kl, 0.1)):
        channels = np.full_like(found.channels, np.inf)
        assert picture(found._replace(kl=kl, channels=channels), ("a", "b", "c"), "png").startswith(b"\x89PNG")


def test_without_matplotlib_the_csv(tiny, tmp_path, no_picture):
    out = tmp_path / "picture.png"
    out.write_bytes(b"old")
    result = analyze(tiny, "--out", out, "--overwrite")
    assert result.exit_code == 0, result.stderr
    assert (
        "no picture, only numbers and CSV: matplotlib cannot be imported; pip install 'refq[report]'" in result.stderr
    )
    assert [path.name for path in tmp_path.iterdir()] == ["picture.csv"]
    assert result.stdout.endswith("picture.csv: written\n")


def test_what_is_refused(tiny, tmp_path):
    quantize_model(tiny, tmp_path / "w4", refq, Options())
    (tmp_path / "there.csv").touch()
    for arguments, code, text in [
        ([tmp_path / "w4"], 3, "quantized already"),
        ([tiny, "--group-size", 48], 2, "does not divide"),
        ([tiny, "--out", tmp_path / "x.pdf"], 2, "ends in .png, .svg or .csv"),
        ([tiny, "--out", tmp_path / "nowhere" / "x.png"], 2, "does not exist"),
        ([tiny, "--out", tmp_path / "there.png"], 2, "there.csv exists; --overwrite replaces"),
        ([tiny, "--tokens", 10], 2, "less than one window"),
        ([tiny, "--context", 10_000], 2, "this model takes 2.."),
        ([tiny, "--activations", 2], 2, "4<=x<=16"),
    ]:
        result = run("analyze", "sensitivity", *arguments, "--text", TEXT, "--engine", "reference")
        assert (result.exit_code, text in result.stderr) == (code, True), result.stderr


def test_what_is_not_finite(tiny, monkeypatch):
    monkeypatch.setattr(job, "compare", lambda *_: [np.nan, np.nan, 0])
    result = analyze(tiny, "--engine", "reference")
    assert (result.exit_code, "must be finite" in result.stderr) == (3, True)
