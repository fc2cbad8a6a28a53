"""refq compare: what quantize, perplexity and evaluate give, in one table and one plot; and no kill loses a row."""

import csv
import json
import os
import shlex
import shutil
import signal
import sys
import time

import pytest

from refq.errors import GroupSizeError, UsageError
from refq.jobs import sweep_run
from refq.jobs.calibrated import Calibration
from refq.jobs.comparison import NAMES, check_texts, planned
from refq.jobs.comparison_table import FLOAT, cells, notes, summarize
from refq.jobs.plan import Options
from tests.app.commands import refq as run
from tests.app.commands import start
from tests.app.tiny import TEXT, write_model

SCORED = ("--text", TEXT, "--tokens", 200, "--context", 32, "--engine", "reference")
CALIBRATION = ("--calibration", TEXT, "--sequences", 2)
USUAL = (Options(group_size=None), Calibration((), None, 2, 32))
ASKED = ("--methods", "rtn,gptq,int8,kmeans", "--bits", "W4A16,W3A4", *CALIBRATION, "--seeds", "0,1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the model `tiny`, a recipe and a task."""
    made = tmp_path_factory.mktemp("compare")
    write_model(made / "tiny")
    (made / "smooth.toml").write_text('[[step]]\nmethod = "smoothquant"\nalpha = 0.7\n')
    item = {"question": "ab", "choices": ["cd", "ef"], "answer": 0}
    (made / "items.jsonl").write_text("".join(json.dumps(item | {"id": str(n)}) + "\n" for n in range(4)))
    return made


def compare(folder, out, *more):
    return run("compare", folder / "tiny", *SCORED, "--out", out, *more)


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "all.csv"
    found = compare(folder, out, *ASKED, "--json")
    assert found.exit_code == 0, found.stderr
    return out, found


def rows_of(found):
    return json.loads(found.stdout)["runs"]


@pytest.fixture
def no_picture(monkeypatch):
    """An installation without the report extra."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "refq.app.compare_plot", raising=False)


def entries(folder, methods, widths, **options):
    chosen = USUAL[0]._replace(**options)
    return planned(folder / "tiny", methods, widths, chosen, USUAL[1])


def test_every_method_at_every_width_with_the_seeds_that_it_needs(folder):
    methods = ("rtn", "rotation", "gptq", "int8", "kmeans", str(folder / "smooth.toml"))
    found = entries(folder, methods, [(4, None), (8, 8)])
    assert [(one.method, one.width) for one in found[5:7]] == [("smooth", "W4A16"), ("rtn", "W8A8")]
    assert {one.method for one in found if one.draws} == {"rotation", "gptq", "smooth"}
    assert {one.method for one in found if one.reads} == {"gptq", "smooth"}
    assert {(one.method, one.width) for one in found if one.reason} == {("int8", "W4A16"), ("kmeans", "W8A8")}
    rtn, _, _, _, kmeans, _, _, rotated, _, int8, _, _ = found
    assert (rtn.calibration, rtn.options) == (None, Options(4, 32))
    assert kmeans.options == Options(4, "channel", method="kmeans")
    assert (int8.options, int8.calibration.activations) == (Options(8, "channel"), None)
    assert rotated.calibration.activations == 8


def test_what_all_have_in_common_reaches_only_those_that_take_it(folder):
    grid, codes = entries(folder, ("awq", "nf4"), [(4, None)], symmetric=False, range="mse", group_size=16)
    assert grid.options == Options(4, 16, False, "mse")
    assert codes.options == Options(4, 16, method="nf4")


def test_a_model_and_its_figures_are_those_of_the_commands(whole, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for row in rows_of(whole[1]):
        if row["method"] in ("gptq", "kmeans") and row["seed"] in (1, None):
            for command in row["commands"]:
                done = run(*shlex.split(command)[1:], "--engine", "reference", "--json")
                assert done.exit_code == 0, done.stderr
            report = json.loads(done.stdout)
            assert {name: row[name] for name in ("perplexity", "kl", "top1_agreement")} == {
                name: report[name] for name in ("perplexity", "kl", "top1_agreement")
            }
            assert sweep_run._digest(tmp_path / row["slug"]) == row["sha256"]


def test_there_is_a_row_for_every_run(whole):
    rows = rows_of(whole[1])
    assert [(row["method"], row["bits"], row["seed"]) for row in rows] == [
        (FLOAT, "", None),
        ("rtn", "W4A16", None),
        *(("gptq", "W4A16", seed) for seed in (0, 1)),
        ("kmeans", "W4A16", None),
        ("rtn", "W3A4", None),
        *(("gptq", "W3A4", seed) for seed in (0, 1)),
    ]
    assert {row["state"] for row in rows} == {"finished"}
    assert len({row["sha256"] for row in rows}) == 8
    assert all(row["kl"] > 0 for row in rows[1:])
    assert "gptq W3A4 seed 1: about" in whole[1].stderr, "what a run says of its memory"


def test_the_table_says_what_the_rows_say(whole):
    rows, lines = rows_of(whole[1]), json.loads(whole[1].stdout)["table"]
    assert [line["method"] for line in lines] == [FLOAT, *["rtn", "gptq", "int8", "kmeans"] * 2]
    mean = (rows[2]["perplexity"] + rows[3]["perplexity"]) / 2
    assert lines[2]["perplexity"]["mean"] == pytest.approx(mean, rel=1e-12)
    assert lines[2]["kl"] == pytest.approx((rows[2]["kl"] + rows[3]["kl"]) / 2, rel=1e-12)
    assert (lines[2]["bits_per_weight"], lines[6]["bits_per_weight"]) == (
        pytest.approx(5.1, abs=0.1),
        lines[5]["bits_per_weight"],
    )
    head, body = cells(lines)
    assert head == ["method", "bits", "n", "perplexity", "min..max", "KL", "bits/weight", "s"]
    assert body[3] == ["int8", "W4A16", "0", *["-"] * 5]
    assert body[0][:3] == [FLOAT, "-", "1"]
    assert json.loads(whole[1].stdout)["notes"] == [
        "int8 at W4A16, W3A4: not run: LLM.int8() has weights and inputs of 8 bits: W8A8 alone",
        "kmeans at W3A4: not run: codebooks go with float activations alone: A16",
    ]


def test_the_files(whole):
    out, found = whole
    rows = rows_of(found)
    with open(out, encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [float(line["perplexity"]) for line in table] == [row["perplexity"] for row in rows]
    page = out.with_suffix(".md").read_text()
    assert "| rtn | W3A4 | 1 |" in page
    assert "- int8 at W4A16, W3A4: not run" in page
    assert "200 tokens of tiny.txt in windows of 32; calibrated with 2 windows of tiny.txt" in page
    assert {path.name for path in out.parent.iterdir()} == {"all.csv", "all.md", "all.runs"}
    kept = {path.name for path in (out.parent / "all.runs").glob("runs/*/*")}
    assert kept == {"row.json"}, "no model is left"


def test_a_comparison_may_grow_but_its_text_may_not_change(whole, folder, tmp_path):
    for path in whole[0].parent.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    out = tmp_path / "all.csv"
    again = compare(folder, out, *ASKED, "--resume", "--json")
    assert again.exit_code == 0, again.stderr
    assert "8 of 8 runs are finished already" in again.stderr
    assert rows_of(again) == rows_of(whole[1])
    more = compare(folder, out, "--methods", "rtn", "--bits", "W4A16,W2A16", "--resume", "--keep-models")
    assert more.exit_code == 0, more.stderr
    assert "1 of 3 runs are finished already" in more.stderr, "the row whose model is asked for is done again"
    assert len(list((tmp_path / "all.runs").glob("runs/*/model/config.json"))) == 2
    (tmp_path / "other.txt").write_text(TEXT.read_text() + "a")
    other = compare(folder, out, *ASKED, "--resume", "--text", tmp_path / "other.txt")
    assert (other.exit_code, "inputs.text was" in other.stderr) == (3, True)


def test_recipes_and_tasks_join_the_table(folder, tmp_path):
    asked = ("--methods", folder / "smooth.toml", "--bits", "W4A8", *CALIBRATION, "--task", folder / "items.jsonl")
    found = compare(folder, tmp_path / "out.csv", *asked)
    assert found.exit_code == 0, found.stderr
    head, _, line = found.stdout.splitlines()[:3]
    assert head.split() == ["method", "bits", "perplexity", "KL", "items", "bits/weight", "s"]
    assert line.split()[:2] == ["smooth", "W4A8"]
    assert line.split()[4] in ("0.00%", "100.00%"), "four times one question"
    assert (tmp_path / "out.csv").read_text().splitlines()[0].endswith(",sha256,items")


def test_a_run_that_fails_does_not_stop_the_others(folder, tmp_path, monkeypatch):
    real = sweep_run.execute

    def execute(place, arguments, lock, check):
        if "W2A16" not in place or arguments[0] != "perplexity":
            return real(place, arguments, lock, check)
        with open(os.path.join(place, "log"), "a", encoding="utf-8") as log:
            log.write("refq: the reason\n")
        return 3

    monkeypatch.setattr(sweep_run, "execute", execute)
    found = compare(folder, tmp_path / "out.csv", "--methods", "rtn", "--bits", "W2,W4")
    assert found.exit_code == 1, found.stderr
    lines = found.stdout.splitlines()
    assert [line.split()[2] for line in lines[1:4]][1] == "failed"
    assert "rtn W2A16: failed: perplexity: the reason" in lines
    assert "2 runs finished, 1 failed" in lines[-1]
    monkeypatch.undo()
    again = compare(folder, tmp_path / "out.csv", "--methods", "rtn", "--bits", "W2,W4", "--resume")
    assert (again.exit_code, "failed" in again.stdout) == (0, False)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_signal_loses_no_row(number, code, whole, folder, tmp_path):
    out = tmp_path / "all.csv"
    process = start("compare", folder / "tiny", *SCORED, "--out", out, *ASKED)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "all.runs").glob("runs/gptq*/log")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert number == signal.SIGKILL or "--resume continues" in said
    assert not out.with_suffix(".png").exists()
    found = compare(folder, out, *ASKED, "--resume", "--json")
    assert found.exit_code == 0, found.stderr
    assert "of 8 runs are finished already" in found.stderr
    figures = [(row["slug"], row["perplexity"], row["kl"], row["sha256"]) for row in rows_of(whole[1])[1:]]
    assert [(row["slug"], row["perplexity"], row["kl"], row["sha256"]) for row in rows_of(found)[1:]] == figures


REFUSED = {
    "no such method": (("--methods", "rnt", "--bits", 4), "'rnt' is no method and no recipe"),
    "no such recipe": (("--methods", "nowhere.toml", "--bits", 4), "'nowhere.toml' is no method and no recipe"),
    "twice": (("--methods", "rtn,rtn", "--bits", 4), "'rtn,rtn' names something twice"),
    "one width in two spellings": (("--methods", "rtn", "--bits", "4,W4A16"), "names something twice"),
    "no width": (("--methods", "rtn", "--bits", "W4B4"), "'W4B4' is no width as W4A8"),
    "weights of 9 bits": (("--methods", "rtn", "--bits", "W9"), "'W9' is no width"),
    "activations of 1 bit": (("--methods", "rtn", "--bits", "W4A1"), "'W4A1' is no width"),
    "no seed": (("--methods", "rtn", "--bits", 4, "--seeds", "0,x"), "'x' is no seed"),
    "nothing that makes sense": (("--methods", "int8,kmeans", "--bits", "W4A4"), "LLM.int8() has weights and inputs"),
    "a group size that does not divide": (("--methods", "rtn", "--bits", 4, "--group-size", 48), "does not divide"),
    "no calibration": (("--methods", "rtn,gptq", "--bits", 4), "--calibration FILE is needed"),
    "a calibration for nobody": (("--methods", "rtn", "--bits", 4, *CALIBRATION), "no method looks at a text"),
    "a calibration that is too short": (
        ("--methods", "gptq", "--bits", 4, "--calibration", TEXT, "--sequences", 5000),
        "160032 are needed",
    ),
    "too many tokens": (("--methods", "rtn", "--bits", 4, "--tokens", 10**6), "--tokens 1000000"),
    "a keep that fits nothing": (("--methods", "rtn", "--bits", 4, "--keep", "q"), "--keep q fits no linear layer"),
}


@pytest.mark.parametrize(("arguments", "text"), REFUSED.values(), ids=REFUSED)
def test_refused(arguments, text, folder, tmp_path):
    found = compare(folder, tmp_path / "out.csv", *arguments)
    assert (found.exit_code, text in found.stderr) == (2, True), found.stderr
    assert not any(tmp_path.iterdir())


def test_paths_that_are_in_the_way(folder, tmp_path):
    asked = ("--methods", "rtn", "--bits", 4)
    assert "ends in .png, .svg or .csv" in compare(folder, tmp_path / "out.pdf", *asked).stderr
    assert "does not exist" in compare(folder, tmp_path / "nowhere" / "out.csv", *asked).stderr
    (tmp_path / "out.md").write_text("")
    assert "--resume continues a comparison" in compare(folder, tmp_path / "out.png", *asked).stderr
    (tmp_path / "other.runs").mkdir()
    (tmp_path / "other.runs" / "file").write_text("")
    assert "holds no comparison" in compare(folder, tmp_path / "other.csv", *asked).stderr


def test_two_of_one_name(folder, tmp_path):
    recipes = [tmp_path / "a.toml", tmp_path / "gptq.toml", tmp_path / "b" / "a.toml"]
    (tmp_path / "b").mkdir()
    for path in recipes:
        path.write_text('[[step]]\nmethod = "rtn"\n')
    for pair in ((recipes[0], recipes[2]), (recipes[1],)):
        with pytest.raises(UsageError, match="another file name is needed"):
            entries(folder, [str(path) for path in pair], [(4, None)])
    with pytest.raises(UsageError, match="two tasks have one name"):
        check_texts(folder / "tiny", (TEXT, None, ("a/x.jsonl", "b/x.jsonl")), 32, None, [])
    with pytest.raises(GroupSizeError):
        entries(folder, ("rtn", "kmeans"), [(4, None)], group_size=48)


def test_every_method_can_be_asked_for(folder):
    found = entries(folder, NAMES, [(4, None), (8, 8)], symmetric=False)
    named = {one.method for one in found if not one.reason}
    assert named == set(NAMES)


def line(method, bits, *perplexities):
    rows = [
        {"method": method, "bits": bits, "state": "finished", "perplexity": value, "tasks": {}, "name": method}
        for value in perplexities
    ]
    return summarize([(method, bits)], rows)[0]


def test_what_has_no_mean():
    _, [infinite, failed] = cells([line("rtn", "W2A4", 10.0, None), line("gptq", "W2A4") | {"failed": 2}])
    assert infinite == ["rtn", "W2A4", "2", "infinite", "10.000..infinite", "-", "-", "-"]
    assert failed == ["gptq", "W2A4", "0, 2 failed", "failed", *["-"] * 4]
    assert notes([], [{"state": "failed", "name": "gptq W2A4", "sentence": "why"}]) == ["gptq W2A4: failed: why"]


LINES = {
    "usual": [line(FLOAT, "", 4.0), line("rtn", "W4A4", 9.0), line("gptq", "W4A4", 7.0, 8.0, 7.5), line("a", "W4A4")],
    "infinite, and better than float": [line(FLOAT, "", 4.0), line("rtn", "W2A4", None), line("gptq", "W8A16", 3.99)],
    "wide apart": [line(FLOAT, "", 4.0), line("rtn", "W2A4", 1e9, None), line("gptq", "W8A16", 3.9, 4.001)],
    "more methods than colours": [line(FLOAT, "", 4.0), *(line(f"m{n}", "W4A4", 5.0 + n) for n in range(30))],
    "no float model": [line(FLOAT, ""), line("rtn", "W4A4", 9.0)],
    "nothing": [line(FLOAT, "", 4.0), line("rtn", "W4A4")],
}


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
def test_a_picture(lines, suffix, begins):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from refq.app.compare_plot import picture

    drawn = picture(lines, ("title", "line"), suffix)
    assert drawn.startswith(begins)
    assert drawn == picture(lines, ("title", "line"), suffix)


def test_the_picture_of_a_comparison(whole, folder, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    found = compare(folder, tmp_path / "out.svg", "--methods", "rtn", "--bits", "W4,W2")
    assert found.exit_code == 0, found.stderr
    assert (tmp_path / "out.svg").read_bytes().startswith(b"<?xml")
    assert "](out.svg)" in (tmp_path / "out.md").read_text()


def test_without_matplotlib_the_table(folder, tmp_path, no_picture):
    found = compare(folder, tmp_path / "out.png", "--methods", "rtn", "--bits", 4)
    assert found.exit_code == 0, found.stderr
    assert "no plot, only the table: matplotlib cannot be imported; pip install 'refq[report]'" in found.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"out.csv", "out.md", "out.runs"}
    assert "![" not in (tmp_path / "out.md").read_text()
    assert "out.csv: 2 runs finished" in found.stdout


def test_the_signs_of_a_rotation_come_of_the_seed(folder, tmp_path):
    found = compare(folder, tmp_path / "out.csv", "--methods", "rotation", "--bits", "W4A4", "--seeds", "0,1", "--json")
    assert found.exit_code == 0, found.stderr
    assert len({row["sha256"] for row in rows_of(found)}) == 3
