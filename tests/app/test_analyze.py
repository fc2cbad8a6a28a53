"""refq analyze signal: the numbers are those of signal_propagation, and the page shows them and needs nothing else."""

import base64
import csv
import errno
import html.parser
import json
import os
import re

import numpy as np
import pytest

import refq as reference
from refq.app.signal_text import findings
from refq.errors import UsageError
from refq.jobs import signal, signal_figures, trainer
from refq.jobs.distillation import Distillation
from refq.jobs.plan import Options
from tests.app import chromium
from tests.app.commands import digests
from tests.app.commands import refq as run
from tests.app.sweeps import prepare

OPTIONS = ("--steps", "4", "--batch", "2", "--context", "8", "--probe-every", "3")
KEPT = {"used", "trained", "mean", "norm", "loss", "training_used", "training_trained", "training_loss", "batch_loss"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("signal"))


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    for package in ("matplotlib", "jinja2"):
        pytest.importorskip(package, reason=f"{package} is not installed: no page; pip install 'refq[report]'")
    out = tmp_path_factory.mktemp("whole") / "report.html"
    found = analyze(folder, out, "--seeds", "0,1")
    assert found.exit_code == 0, found.stderr
    return out, found


def analyze(folder, out, *more):
    return run("analyze", "signal", folder / "teacher", "--text", folder / "text.txt", "--out", out, *OPTIONS, *more)


def numbers(path):
    """(seed, step, model, quantity) -> array of the values in the CSV, by layer and projection."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = row["seed"], int(row["step"]), row["model"], row["quantity"]
            found.setdefault(key, {})[row["layer"], row["projection"]] = float(row["value"])
    return {key: np.array(list(values.values())) for key, values in found.items()}


def compared(folder, val=None, seeds=(0,), **training):
    texts = folder / "text.txt", val
    settings = Distillation(steps=4, batch=2, context=8, eval_every=3, **training)
    return signal.compare_signals(folder / "teacher", texts, reference, Options(group_size="channel"), settings, seeds)


def test_the_numbers_are_those_of_signal_propagation(folder, tmp_path, no_page, monkeypatch):
    asked = []
    real = reference.signal_propagation
    monkeypatch.setattr(
        reference, "signal_propagation", lambda *args: asked.append((args, real(*args))) or asked[-1][1]
    )
    found = analyze(folder, tmp_path / "report.html", "--engine", "reference", "--loss", "ce+kl")
    assert found.exit_code == 0, found.stderr
    written, (full, *rest) = numbers(tmp_path / "report.csv"), asked
    assert {key[3] for key in written} == KEPT
    assert not any("scale" in name for name in full[0][0]), "full precision has no grids"
    for name, x in full[1].items():
        np.testing.assert_array_equal(written["", 0, "full", name], x.ravel())
    models = [(model, step) for model in ("plain", "frozen") for step in (0, 3, 4)]
    for (model, step), (args, report), (own_args, own) in zip(models, rest[::2], rest[1::2], strict=True):
        assert args[1] is own_args[1] is full[0][1], "one probe"
        assert args[3]["losses"] == {"ce": 1.0}
        assert own_args[3]["losses"] == {"ce": 0.5, "kl": 0.5}
        for name, x in report.items():
            np.testing.assert_array_equal(written["0", step, model, name], x.ravel())
        for name in ("used", "trained", "loss"):
            np.testing.assert_array_equal(written["0", step, model, f"training_{name}"], own[name].ravel())


def test_the_probe_is_not_trained_on(folder, monkeypatch):
    asked = []
    real = signal.batch_at
    monkeypatch.setattr(signal, "batch_at", lambda tokens, *args: asked.append(tokens) or real(tokens, *args))
    seen = []
    spy = reference.signal_propagation
    monkeypatch.setattr(reference, "signal_propagation", lambda *args: seen.append(args[1]) or spy(*args))
    compared(folder)
    compared(folder, val=folder / "text.txt")
    inside, all_of_it = asked[0], asked[-1]
    np.testing.assert_array_equal(np.concatenate([inside, seen[0]["tokens"].ravel(), all_of_it[-1:]]), all_of_it)
    np.testing.assert_array_equal(seen[0]["targets"].ravel(), all_of_it[-16:])
    np.testing.assert_array_equal(seen[-1]["tokens"].ravel(), all_of_it[:16])


def test_the_students_are_those_of_distill(folder, tmp_path, no_page):
    val = ("--val", folder / "text.txt", "--seeds", "7")
    assert analyze(folder, tmp_path / "report.html", *val).exit_code == 0
    written = numbers(tmp_path / "report.csv")
    for model, freeze in (("plain", "none"), ("frozen", "o,v")):
        shared = ("--text", folder / "text.txt", *OPTIONS[:6], "--seed", "7", "--freeze", freeze)
        assert run("distill", folder / "teacher", tmp_path / model, *shared).exit_code == 0
        rows = list(csv.DictReader((tmp_path / model / "training.csv").read_text().splitlines()))
        losses = [written["7", step, model, "batch_loss"][0] for step in range(1, 5)]
        np.testing.assert_allclose(losses, [float(row["loss"]) for row in rows[1:]], rtol=1e-8)


def test_students_can_be_kept(folder, tmp_path):
    text, outs = folder / "text.txt", {name: tmp_path / name for name in ("plain", "frozen")}
    settings = Distillation(steps=4, batch=2, context=8, eval_every=3)
    asked = folder / "teacher", (text, text), reference, Options(group_size="channel"), settings
    kept, forgotten = signal.compare_signals(*asked, outs=outs), signal.compare_signals(*asked)
    for name, student in kept.students.items():
        for key, x in student.items():
            np.testing.assert_array_equal(x, forgotten.students[name][key])
    shared = (folder / "teacher", tmp_path / "alone", "--text", text, *OPTIONS[:6], "--eval-every", "3")
    assert run("distill", *shared, "--engine", "reference").exit_code == 0
    assert digests(tmp_path / "alone") == digests(outs["frozen"])
    for texts, seeds in (((text, None), (0,)), ((text, text), (0, 1))):
        with pytest.raises(UsageError, match="another one"):
            signal.compare_signals(asked[0], texts, *asked[2:], seeds, outs)


def test_both_students_begin_alike_and_what_is_frozen_is_not_trained(folder):
    found = compared(folder)
    plain, frozen = (found.students[kind] for kind in ("plain", "frozen"))
    np.testing.assert_array_equal(plain["used"][:, 0], frozen["used"][:, 0])
    held = [signal_figures.NAMES.index(name) for name in "ov"]
    assert not frozen["trained"][..., held].any()
    assert frozen["used"][..., held].all()
    assert plain["trained"].all()


def test_the_figures_are_what_they_say(folder):
    found = compared(folder, seeds=(0, 1))
    report = signal_figures.figures(found, ("o", "v"))
    used, full = found.students["plain"]["used"][:, -1, :, 0], found.full["used"][:, 0]
    q = report["projections"]["q"]
    assert q["weights"] == 256
    assert q["full"] == pytest.approx(full.mean())
    assert q["plain"] == pytest.approx(used.mean())
    assert q["plain_ratio"] == pytest.approx(np.prod(used / full) ** (1 / used.size))
    assert report["compared"] == ["q", "k", "gate", "up", "down"]
    far = found.students["frozen"]["used"][1, -1][:, [0, 1, 4, 5, 6]] / found.full["used"][:, [0, 1, 4, 5, 6]]
    assert report["distance"]["frozen"][1] == pytest.approx(np.exp(np.abs(np.log(far)).mean()))
    assert report["steps"] == [0, 3, 4]
    assert signal_figures.figures(found, tuple(signal_figures.NAMES))["compared"] == signal_figures.NAMES


def test_without_the_extra_there_are_numbers_alone(folder, tmp_path, no_page):
    found = analyze(folder, tmp_path / "report.html")
    assert found.exit_code == 0, found.stderr
    assert "no page" in found.stderr
    assert "pip install 'refq[report]'" in found.stderr
    assert "squared gradient norms" in found.stdout
    assert os.listdir(tmp_path) == ["report.csv"]


def test_a_page_of_other_numbers_does_not_stay(folder, tmp_path, no_page):
    for name in ("report.html", "report.csv"):
        (tmp_path / name).write_text("old")
    assert analyze(folder, tmp_path / "report.html", "--overwrite").exit_code == 0
    assert os.listdir(tmp_path) == ["report.csv"]


def test_json(folder, tmp_path, no_page):
    report = json.loads(analyze(folder, tmp_path / "report.html", "--json").stdout)
    assert report["out"] is None
    assert report["csv"] == str(tmp_path / "report.csv")
    assert list(report["projections"]) == signal_figures.NAMES
    assert [set(finding) for finding in report["findings"]] == [{"claim", "holds", "verdict", "text"}] * 4


SETTINGS = {
    "all frozen": ("--freeze", "all"),
    "inputs a token": ("--activations", "8"),
    "static inputs": ("--activations", "8", "--activation-range", "tensor"),
    "a mix": ("--loss", "kl+0.1*hidden+0.1*attention"),
    "largest logits": ("--loss", "top_k_kl", "--top-k", "3"),
    "cross-entropy": ("--loss", "ce", "--reduction", "batchmean"),
    "transition rates": ("--schedule", "talr"),
    "groups": ("--group-size", "8", "--asymmetric", "--bits", "2"),
    "one probe between": ("--probe-every", "100"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_every_setting_of_distill(case, folder, tmp_path, no_page):
    found = analyze(folder, tmp_path / "report.html", *SETTINGS[case])
    assert found.exit_code == 0, found.stderr
    assert all(np.isfinite(x).all() for x in numbers(tmp_path / "report.csv").values())


REFUSED = {
    "nothing to compare": (("--freeze", "none"), 2, "both students would be the same"),
    "no page": (("--out", "report.txt"), 2, "ends in .html"),
    "no folder": (("--out", "nowhere/report.html"), 2, "does not exist"),
    "seeds": (("--seeds", "1,x"), 2, "whole numbers joined by commas"),
    "a probe that leaves nothing": (("--batch", "100"), 2, "--val takes the probe"),
    "a loss": (("--loss", "love"), 2, "'love'"),
    "static inputs without bits": (("--activation-range", "tensor"), 2, "--activations"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, folder, tmp_path, monkeypatch):
    options, code, words = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    found = analyze(folder, "report.html", *options)
    assert found.exit_code == code, found.stderr
    assert words in found.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["report.html", "report.csv"])
def test_what_is_there_is_not_replaced_unasked(name, folder, tmp_path):
    (tmp_path / name).write_text("mine")
    found = analyze(folder, tmp_path / "report.html")
    assert found.exit_code == 2
    assert "--overwrite" in found.stderr
    assert (tmp_path / name).read_text() == "mine"


def test_a_disk_that_refuses_is_noticed_before_the_work(folder, tmp_path, monkeypatch):
    def refuse(dir):
        raise OSError(errno.EROFS, "Read-only file system", dir)

    monkeypatch.setattr("refq.app.analyze.tempfile.TemporaryFile", refuse)
    found = analyze(folder, tmp_path / "report.html")
    assert found.exit_code == 4
    assert "run 1" not in found.stderr


def test_an_interrupt_leaves_nothing(folder, tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "_remark", stop)
    assert analyze(folder, tmp_path / "report.html").exit_code == 130
    assert os.listdir(tmp_path) == []


def test_divergence_names_the_step(folder, tmp_path):
    found = analyze(folder, tmp_path / "report.html", "--lr", "1e38", "--clip", "0")
    assert found.exit_code == 3
    assert "step 2" in found.stderr
    assert os.listdir(tmp_path) == []


def test_debug_shows_the_traceback(folder, tmp_path):
    assert "Traceback" in analyze(folder, tmp_path / "report.html", "--freeze", "none", "--debug").stderr


def _report(full, plain, frozen, distances):
    """A made-up report, by the figures that the verdicts are made of."""
    rows = {name: {"full": full[i], "plain": plain[i], "plain_change": 1 + full[i]} for i, name in enumerate("qkvo")}
    rows |= {name: {"full": 0.1, "plain": 0.1, "plain_change": 1.1} for name in ("gate", "up", "down")}
    both = {"plain": distances[0], "frozen": distances[1]}
    single = {key: values[0] for key, values in both.items()}
    return {
        "projections": rows,
        "steps": [0, 10],
        "seeds": [0, 1],
        "freeze": ["o", "v"],
        "compared": ["q", "k"],
        "distance": both,
        "run": both,
        "states": {"norm": single, "mean": single},
    }


def test_an_order_that_training_changes_is_told():
    rows = (1, 2, 4, 3), (1, 4, 3, 2), (1, 1, 1, 1)
    found = findings(_report(*rows, ([2], [1])))[0]
    assert found["holds"] is None
    assert found["verdict"] == "full precision: holds here, at the end of training: for v, not for o"


VERDICTS = {
    "as the paper says": ((1, 2, 3, 4), ([1.5, 1.6], [1.2, 1.3]), [True, True, True, True]),
    "the opposite": ((4, 3, 2, 1), ([1.2, 1.3], [1.5, 1.6]), [False, False, False, False]),
    "in part": ((1, 3, 4, 2), ([1.5, 1.2], [1.3, 1.3]), [None, None, None, True]),
    "no difference": ((1, 2, 3, 4), ([1.5, 1.5], [1.4999, 1.4999]), [True, True, False, False]),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verdicts_follow_the_figures(case):
    full, distances, expected = VERDICTS[case]
    assert [found["holds"] for found in findings(_report(full, full, full, distances))] == expected


class _Page(html.parser.HTMLParser):
    """Tags, and what they refer to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.references = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]


def outside(text):
    """What a page needs that is not in it."""
    page = _Page(text)
    found = [tag for tag in page.tags if tag in ("link", "script", "iframe", "object", "embed")]
    found += [reference for reference in page.references if not reference.startswith(("data:", "#"))]
    found += re.findall(r"url\((?!['\"]?(?:data:|#))[^)]*\)|@import[^;]*", text)
    for data in re.findall(r"data:image/svg\+xml;base64,([^\"]*)", text):
        picture = base64.b64decode(data).decode()
        found += re.findall(r"(?:href|src)=\"(?!#|data:)[^\"]*\"|url\((?!#)[^)]*\)|@import[^;]*|<script", picture)
    return found


def test_the_page_needs_nothing_beside_it(whole):
    text = whole[0].read_text(encoding="utf-8")
    assert outside(text) == []
    assert text.count("<img ") == 5
    assert not re.search(r"\bnan\b|\binf\b|None|\{\{|\{%", text)


PICTURE = base64.b64encode(b'<svg><image href="a.png"/></svg>').decode()


@pytest.mark.parametrize(
    "bad",
    [
        '<link rel="stylesheet" href="style.css">',
        '<img src="https://example.org/a.png">',
        "<script>1</script>",
        "<style>body { background: url(a.png); }</style>",
        f'<img src="data:image/svg+xml;base64,{PICTURE}">',
    ],
)
def test_a_page_that_needs_something_is_noticed(bad):
    assert outside(bad)


def test_the_page_states_what_was_measured(whole, folder):
    out, found = whole
    text, report = (
        out.read_text(encoding="utf-8"),
        json.loads(analyze(folder, out, "--seeds", "0,1", "--overwrite", "--json").stdout),
    )
    for finding in report["findings"]:
        assert html.escape(finding["text"], quote=False).replace("&#39;", "'") in html.unescape(text)
    assert f"{report['loss']['full']:.4f}" in text
    assert "report.csv" in text
    assert "written in" in found.stdout


def test_the_same_command_gives_the_same_bytes(whole, folder, tmp_path):
    import matplotlib

    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 20}):  # of a user's own
        found = analyze(folder, tmp_path / "report.html", "--seeds", "0,1", "--threads", "1")
    assert found.exit_code == 0
    assert digests(tmp_path) == digests(whole[0].parent)


@pytest.mark.skipif(not chromium.browser(), reason=f"none of {', '.join(chromium.NAMES)} is installed")
class TestChromium:
    def test_the_page_is_shown(self, whole, tmp_path):
        import matplotlib.image

        picture = tmp_path / "page.png"
        assert chromium.screenshot(whole[0], picture) == []
        pixels = matplotlib.image.imread(picture)[..., :3]
        assert pixels.shape == (3400, 1200, 3)
        assert len(np.unique((pixels[::3, ::3] * 255).astype(np.uint8).reshape(-1, 3), axis=0)) > 500, "no colours"

    def test_every_image_has_a_size(self, whole, tmp_path):
        found = chromium.measured(whole[0], tmp_path / "copy.html")
        assert len(found["images"]) == 5
        assert all(min(sizes) > 100 for sizes in found["images"]), found
        assert not found["wide"], "the page is wider than its window"

    def test_a_bad_page_is_noticed(self, tmp_path):
        page = tmp_path / "bad.html"
        page.write_text("<!doctype html><img src='data:image/svg+xml;base64,AAAA'><script>console.error('no')</script>")
        assert chromium.screenshot(page, tmp_path / "bad.png")
        [sizes] = chromium.measured(page, tmp_path / "copy.html")["images"]
        assert min(sizes) == 0
