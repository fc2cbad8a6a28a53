"""refq sweep: every combination once, figures that a hand finds again, and no kill that loses more than a step."""

import csv
import io
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
import types

import pytest

from refq.app.sweep import _jobs, _names
from refq.errors import FileError
from refq.jobs import output, sweep, sweep_run, sweep_table
from refq.jobs.sweep_recipe import read_recipe
from tests.app.commands import ROOT, start
from tests.app.commands import refq as run
from tests.app.sweeps import GRID, RECIPE, children, figures, prepare, results, runs, write

OPTIONS = {verb: _names(verb) for verb in ("quantize", "distill")}
ENGINE = ("--engine", "reference")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        made = prepare(tmp_path_factory.mktemp("sweep"))
        patch.setenv("SWEPT", str(made))
        yield made


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    found = run("sweep", write(folder, GRID), out, *ENGINE, "--json")
    assert found.exit_code == 0, found.stderr
    return out, found


def test_lists_are_multiplied_out_in_the_order_of_the_recipe(folder):
    text = RECIPE.replace("steps = 4", 'steps = 4\nbits = 3\nkeep = ["*.0.*"]')
    text += '[[grid]]\nfreeze = ["none", "o,v"]\nseed = [0, 1]\nlr = 0.01\n'
    text += '[[grid]]\nname = "transition rates"\nschedule = "talr"\nkeep = [["*.0.*", "v_proj"], "q_proj"]\n'
    text += '[[ptq]]\nrange = ["mse", "minmax"]\nbits = [4, 2]\n'
    found = read_recipe(write(folder, text), OPTIONS).runs
    asked = [(one.verb, [one.given[key] for key in one.own]) for one in found]
    assert asked[0] == (None, [])
    assert asked[1:5] == [("quantize", [rule, bits]) for rule in ("mse", "minmax") for bits in (4, 2)]
    assert asked[5:9] == [("distill", [freeze, seed, 0.01]) for freeze in ("none", "o,v") for seed in (0, 1)]
    assert asked[9:] == [("distill", ["talr", keep]) for keep in (["*.0.*", "v_proj"], "q_proj")]
    assert [one.name for one in found[::9]] == ["full precision", "transition rates"]
    assert found[1].given == {"bits": 4, "keep": ["*.0.*"], "range": "mse"}, "quantize takes its own options alone"
    assert (found[5].given["bits"], found[5].given["steps"]) == (3, 4)


def test_a_dry_run_prints_the_commands_and_writes_nothing(folder, tmp_path):
    found = run("sweep", write(folder, GRID), tmp_path / "out", "--dry-run")
    assert found.exit_code == 0, found.stderr
    lines = found.stdout.splitlines()
    assert len(lines) == 1 + 2 * 6
    assert all(line.startswith("python -m refq ") for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_there_is_a_row_for_every_run(whole):
    out, found = whole
    rows = results(out)
    assert [row["verb"] for row in rows] == [None, "quantize", "quantize", *["distill"] * 4]
    assert [row["settings"].get("freeze") for row in rows[3:]] == ["none", "none", "o,v", "o,v"]
    assert {row["state"] for row in rows} == {"finished"}
    assert len({row["sha256"] for row in rows}) == 7
    assert all(row["last_loss"] < row["first_loss"] for row in rows[3:])
    assert json.loads(found.stdout)["runs"] == rows
    told = [line for line in found.stderr.splitlines() if " of 7: " in line]
    assert len(told) == 7
    assert any(" left" in line for line in told)


def test_the_command_of_a_row_gives_its_model_and_its_figures(whole, folder, tmp_path):
    place = shutil.copytree(folder, tmp_path / "place")
    environment = os.environ | {"PYTHONPATH": ROOT, "SWEPT": str(place)}
    for row in (results(whole[0])[n] for n in (0, 2, 5)):
        for command in row["commands"]:
            line = command.replace("python", shlex.quote(sys.executable), 1)
            done = subprocess.run(["sh", "-c", line], cwd=place, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["perplexity"] == row["perplexity"]
        model = place / (row["slug"] if row["verb"] else "teacher")
        assert sweep_run._digest(model) == row["sha256"]


def test_only_rows_and_logs_of_trainings_are_left(whole):
    for row in results(whole[0]):
        kept = {path.name for path in (whole[0] / "runs" / row["slug"]).iterdir()}
        assert kept == {"row.json"} | ({"training.csv"} if row["verb"] == "distill" else set())


def test_the_table_and_the_csv_say_what_the_rows_say(whole):
    out, found = whole
    rows, lines = results(out), json.loads(found.stdout)["table"]
    assert [(line["name"], line["n"]) for line in lines[-2:]] == [("what is frozen", 2)] * 2
    mean = (rows[3]["perplexity"] + rows[4]["perplexity"]) / 2
    assert lines[3]["perplexity"]["mean"] == pytest.approx(mean, rel=1e-12)
    assert lines[3]["relative"] == pytest.approx(mean / rows[0]["perplexity"] - 1, abs=1e-12)
    readme = (out / "README.md").read_text()
    assert f"{mean:.4f}" in readme
    assert str(whole[0]) not in readme
    with open(out / "results.csv", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [float(line["perplexity"]) for line in table] == [row["perplexity"] for row in rows]
    assert [line["freeze"] for line in table] == ["", "", "", "none", "none", "o,v", "o,v"]


def test_what_is_finished_is_not_done_again(whole, folder):
    out, _ = whole
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/row.json")}
    found = run("sweep", write(folder, GRID), out, *ENGINE, "--resume")
    assert found.exit_code == 0
    assert "7 of 7 runs are finished already" in found.stderr
    assert {path: path.stat().st_mtime_ns for path in out.glob("runs/*/row.json")} == before


def test_a_recipe_may_grow_but_its_inputs_may_not_change(whole, folder, tmp_path):
    out = shutil.copytree(whole[0], tmp_path / "out")
    grown = GRID.replace("seed = [0, 1]", "seed = [0, 1, 2]").replace('freeze = ["none", "o,v"]', 'freeze = ["o,v"]')
    found = run("sweep", write(folder, grown, "grown.toml"), out, *ENGINE, "--resume")
    assert found.exit_code == 0, found.stderr
    assert "5 of 6 runs are finished already" in found.stderr
    assert len(results(out)) == 6
    (folder / "other.txt").write_text((folder / "text.txt").read_text() + "a")
    other = write(folder, GRID.replace('val = "text.txt"', 'val = "other.txt"'), "other.toml")
    found = run("sweep", other, out, *ENGINE, "--resume")
    assert found.exit_code == 3
    assert "inputs.val was" in found.stderr


def test_models_are_kept_if_asked_for(folder, tmp_path):
    recipe = write(folder, RECIPE + "[[grid]]\nbits = 3\n", "kept.toml")
    for more in ((), ("--keep-models", "--resume")):
        assert run("sweep", recipe, tmp_path / "out", *ENGINE, *more).exit_code == 0
    row = results(tmp_path / "out")[1]
    assert sweep_run._digest(tmp_path / "out" / "runs" / row["slug"] / "model") == row["sha256"]


def test_tasks_join_the_table(folder, tmp_path):
    item = {"question": "ab", "choices": ["cd", "ef"], "answer": 0}
    (folder / "items.jsonl").write_text("".join(json.dumps(item | {"id": str(n)}) + "\n" for n in range(4)))
    recipe = write(folder, f'tasks = ["items.jsonl"]\n{RECIPE}[[ptq]]\nbits = 4\n', "tasks.toml")
    assert run("sweep", recipe, tmp_path / "out", *ENGINE).exit_code == 0
    rows = results(tmp_path / "out")
    assert all(row["tasks"]["items"]["items"] == 4 for row in rows)
    assert all(row["tasks"]["items"]["chance"] == 0.5 for row in rows)
    assert "items" in (tmp_path / "out" / "results.csv").read_text().splitlines()[0]


def test_a_run_that_is_asked_for_twice_is_done_once(folder, tmp_path):
    recipe = write(folder, RECIPE + '[[grid]]\nfreeze = "o,v"\n[[grid]]\nschedule = "cosine"\n', "twice.toml")
    found = run("sweep", recipe, tmp_path / "out", "--dry-run", "--json")
    assert len(json.loads(found.stdout)) == 2
    assert "3 runs are asked for, 2 different ones" in found.stderr


def test_a_run_that_fails_does_not_stop_the_others(folder, tmp_path):
    recipe = write(folder, RECIPE + "clip = 0\n[[grid]]\nlr = [1e38, 1e-3]\n", "fails.toml")
    found = run("sweep", recipe, tmp_path / "out", *ENGINE)
    assert found.exit_code == 1, found.stderr
    teacher, failed, finished = results(tmp_path / "out")
    assert (failed["state"], failed["restarts"]) == ("failed", 0), "what diverges would diverge again"
    assert "the training has diverged" in failed["sentence"]
    assert {teacher["state"], finished["state"]} == {"finished"}
    readme = (tmp_path / "out" / "README.md").read_text()
    assert f"- `{failed['slug']}`: distill: step 2: " in readme
    assert "0, 1 failed" in readme
    assert (tmp_path / "out" / "runs" / failed["slug"] / "log").exists()


@pytest.mark.parametrize(
    ("codes", "restarts", "state"),
    [([-9, 0], 1, "finished"), ([1, -15, 0], 2, "finished"), ([-9, -9, -9], 2, "failed"), ([2], 0, "failed")],
)
def test_what_dies_is_begun_again_twice(codes, restarts, state, folder, tmp_path, monkeypatch):
    real, ends = sweep_run.execute, list(codes)

    def execute(place, arguments, lock, check):
        (pathlib.Path(place) / "log").write_text("refq: the reason\n")
        return (
            real(place, arguments, lock, check)
            if arguments[0] != "distill"
            else ends.pop(0) or real(place, arguments, lock, check)
        )

    monkeypatch.setattr(sweep_run, "execute", execute)
    monkeypatch.setattr(sweep_run, "PAUSE", 0.0)
    found = run("sweep", write(folder, RECIPE + "[[grid]]\nseed = 5\n", "dies.toml"), tmp_path / "out", *ENGINE)
    row = results(tmp_path / "out")[1]
    assert (row["restarts"], row["state"], ends) == (restarts, state, [])
    assert found.exit_code == (0 if state == "finished" else 1)
    if state == "failed":
        assert row["sentence"] == ("distill: the reason" if codes == [2] else "distill: ended by SIGKILL")


LONG = RECIPE.replace("steps = 4", "steps = 60").replace("batch = 2", "batch = 4") + "[[grid]]\nseed = [0, 1]\n"


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert run("sweep", write(folder, LONG, "long.toml"), out, *ENGINE).exit_code == 0
    return results(out)


def begun(folder, out, *more):
    """A sweep in a process of its own, one of whose trainings has saved a step; gives it and that training's number."""
    process = start("sweep", folder / "long.toml", out, *ENGINE, "--jobs", 1, *more)
    deadline = time.monotonic() + 60
    while not list(out.glob("runs/*/.model.partial/state")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    [child] = children(process.pid)
    return process, child


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="children are found through /proc")
class TestKills:
    """Real signals to real processes."""

    def test_a_training_that_is_killed_goes_on(self, folder, undisturbed, tmp_path):
        process, child = begun(folder, tmp_path / "out")
        os.kill(child, signal.SIGKILL)
        said = process.communicate(timeout=120)[1]
        assert process.returncode == 0, said
        assert "ended by SIGKILL; begun again" in said
        rows = results(tmp_path / "out")
        assert [row["restarts"] for row in rows] == [0, 1, 0]
        assert figures(rows) == figures(undisturbed)

    def test_a_sweep_that_is_killed_goes_on(self, folder, undisturbed, tmp_path):
        process, child = begun(folder, tmp_path / "out")
        process.kill()
        process.communicate()
        found = run("sweep", folder / "long.toml", tmp_path / "out", *ENGINE, "--resume")
        assert found.exit_code == 0, found.stderr
        assert not runs(child), "a training of the first sweep was not waited for"
        assert figures(results(tmp_path / "out")) == figures(undisturbed)

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_ends_the_trainings_too_and_nothing_is_lost(self, number, code, folder, undisturbed, tmp_path):
        out = tmp_path / "out"
        process, child = begun(folder, out)
        began = time.monotonic()
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        assert time.monotonic() - began < 4.0
        assert process.returncode == code, said
        assert "Traceback" not in said
        assert "--resume continues" in said
        assert not runs(child)
        [log] = out.glob("runs/*/log")
        assert "refq: what is finished is kept" in log.read_text()
        assert list(out.glob("runs/*/.model.partial/state"))
        assert run("sweep", folder / "long.toml", out, *ENGINE, "--resume").exit_code == 0
        assert figures(results(out)) == figures(undisturbed)


def test_a_machine_without_the_directory_says_so(tmp_path):
    job = sweep_run.Job(str(tmp_path / "out" / "runs" / "slug"), "", (), False, 0, {})
    with pytest.raises(FileError, match="all workers need the file system"):
        sweep_run.perform(job)


def test_two_sweeps_do_not_share_a_directory(whole, folder):
    with output.claim(str(whole[0])):
        found = run("sweep", write(folder, GRID), whole[0], *ENGINE, "--resume")
    assert found.exit_code == 3
    assert "another process is writing it" in found.stderr


GRIDS = "[[grid]]\nseed = 1\n"
REFUSED = {
    "a key that is none": (f"taecher = 1\n{RECIPE}{GRIDS}", "'taecher' is no key; base, grid, ptq"),
    "no TOML": ("a = ", "not TOML"),
    "no teacher": (GRIDS, "teacher is missing"),
    "nothing to compare": (RECIPE, "neither a [[grid]] nor a [[ptq]]"),
    "an option of base that is none": (f"{RECIPE}bitz = 4\n{GRIDS}", "[base]: 'bitz' is no option; activation"),
    "an option of a grid that is none": (f"{RECIPE}[[grid]]\nout = 4\n", "[[grid]] number 1: 'out' is no option"),
    "an option that quantize has not": (f"{RECIPE}[[ptq]]\nlr = 4\n", "[[ptq]] number 1: 'lr' is no option"),
    "a list in base": (f"{RECIPE}bits = [4, 2]\n{GRIDS}", "bits = [4, 2]"),
    "an empty list": (f"{RECIPE}[[grid]]\nseed = []\n", "seed = []"),
    "an option in two spellings": (f"{RECIPE}scale-lr = 1.0\nscale_lr = 1.0\n{GRIDS}", "scale_lr = 1.0; it is there"),
    "a table that is none": (f"grid = 3\n{RECIPE}", "[[grid]]"),
    "a value out of range": (f"{RECIPE}[[grid]]\nbits = [4, 9]\n", "bits = 9: Invalid value for '--bits'"),
    "a choice that is none": (f"{RECIPE}[[ptq]]\nrange = ['mini']\n", "range = mini: Invalid value for '--range'"),
    "a loss that is none": (f"{RECIPE}[[grid]]\nloss = 'love'\n", "'love'"),
    "a group size that does not fit": (f"{RECIPE}[[grid]]\ngroup_size = 48\n", "group_size=48 does not divide"),
    "a context that the model has not": (f"{RECIPE}[[grid]]\ncontext = 4096\n", "--context 4096"),
    "a text too short": (f"{RECIPE}val_tokens = 100000\n{GRIDS}", "val_tokens 100000"),
    "a variable that is not set": (RECIPE.replace("SWEPT", "NOT_SET_AT_ALL") + GRIDS, "a variable of it is not set"),
    "a name that is none": (f"{RECIPE}[[grid]]\nname = 3\nseed = 1\n", "name = 3"),
    "two tasks of one name": (f'tasks = ["a.jsonl", "b/a.jsonl"]\n{RECIPE}{GRIDS}', "two files have one name"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_begun(case, folder, tmp_path):
    text, words = REFUSED[case]
    found = run("sweep", write(folder, text, "refused.toml"), tmp_path / "out")
    assert found.exit_code == 2, found.stderr
    assert words in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--threads", "100000"), "--threads 100000"),
        (("--cluster", "tcp://127.0.0.1:9", "--jobs", "2"), "--jobs with --cluster"),
    ],
)
def test_options_that_cannot_be(more, words, folder, tmp_path):
    found = run("sweep", write(folder, GRID), tmp_path / "out", *more)
    assert found.exit_code == 2
    assert words in found.stderr


def test_without_dask_a_cluster_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    found = run("sweep", write(folder, GRID), tmp_path / "out", "--cluster", "tcp://127.0.0.1:9")
    assert found.exit_code == 2
    assert "pip install 'refq[sweep]'" in found.stderr


def test_an_out_that_is_in_the_way_is_refused(whole, folder, tmp_path):
    found = run("sweep", write(folder, GRID), whole[0])
    assert (found.exit_code, "--resume continues it" in found.stderr) == (2, True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    found = run("sweep", write(folder, GRID), tmp_path / "out", "--resume")
    assert (found.exit_code, "holds no sweep" in found.stderr) == (2, True)
    assert run("sweep", folder / "recipe.toml", tmp_path / "none" / "out").exit_code == 2


RECIPES = {"stories260K": 55, "small_world": 15}


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipes_of_the_benchmarks(name, monkeypatch):
    """Their options exist, and have values that their verbs take."""
    recipe = read_recipe(f"{ROOT}/benchmarks/recipes/{name}.toml", OPTIONS)
    monkeypatch.setattr("refq.app.options.DIRECTORY.exists", False)
    monkeypatch.setattr("refq.app.sweep.located", lambda recipe: recipe._replace(text=__file__, val=__file__))
    assert len(_jobs(recipe, ((256, 0), ()), "/out", False)) == RECIPES[name]


def row(verb, perplexity, **settings):
    done = {"state": "finished", "perplexity": perplexity, "seconds": 2.0, "tasks": {"t": {"accuracy": 0.5}}}
    return done | {"verb": verb, "name": verb or "teacher", "settings": settings, "slug": "s", "commands": ["c"]}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_line_for_every_run_and_the_time_left(stream, monkeypatch):
    jobs = [sweep_run.Job("", "", (), False, cost, {}) for cost in (0, 10, 30)]
    clock = iter((100.0, 105.0, 140.0))
    with monkeypatch.context() as patch:
        patch.setattr(sweep, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
        patch.setattr(sys, "stderr", stream())
        with sweep._telling(jobs) as tell:
            for number, job in enumerate(jobs):
                tell(job, row("distill", 4.0 if number else None))
        told = sys.stderr.getvalue()
    assert "refq: 1 of 3: s: perplexity infinite, 2 s\n" in told
    assert "refq: 2 of 3: s: perplexity 4.0000, 2 s; 15 s left\n" in told
    assert "refq: 3 of 3: s: perplexity 4.0000, 2 s\n" in told
    assert ("3/3" in told) == (stream is Terminal)


def test_figures_of_the_table():
    rows = [row(None, 4.0), *(row("distill", x, bits=4, seed=n) for n, x in enumerate((4.0, 5.0, 6.0)))]
    rows += [row("distill", 9.0, bits=2, seed=0), row("distill", None, bits=2, seed=1)]
    rows += [row("distill", 0.0, bits=2, seed=2) | {"state": "failed", "sentence": "why"}]
    teacher, four, two = sweep_table.summarize(rows)
    assert four["perplexity"] == {"mean": 5.0, "min": 4.0, "max": 6.0, "sd": 1.0}
    assert (four["relative"], teacher["relative"]) == (0.25, 0.0)
    assert (two["n"], two["failed"], two["relative"]) == (2, 1, None)
    assert two["perplexity"] == {"mean": None, "min": 9.0, "max": None, "sd": None}
    head, body = sweep_table.cells([teacher, four, two])
    assert dict(zip(head, body[1], strict=True)) == {
        "run": "distill",
        "bits": "4",
        "n": "3",
        "perplexity": "5.0000",
        "min..max": "4.0000..6.0000",
        "sd": "1.0000",
        "above full precision": "+25.00%",
        "t": "50.00% (sd 0.00%)",
        "s": "2",
    }
    assert body[2][2:5] == ["2, 1 failed", "infinite", "9.0000..infinite"]
    assert "- `s`: why" in sweep_table.markdown(rows, ["title"])
