"""refq quantize --method: resumed, refused, and the same bytes however it is run."""

import errno
import json
import os
import shutil

import numpy as np
import pytest

import refq_fast
from refq.files.checkpoint import open_checkpoint
from refq.jobs import arrays as arrays_module
from refq.jobs import calibrated, journal, output, solving, states
from refq.jobs.calibrated import Calibration, Run
from refq.jobs.methods.recipe import read_steps
from refq.jobs.perplexity import perplexity
from tests.app.commands import HAS_PEAK, digests, measured, promised
from tests.app.commands import refq as run
from tests.app.solved import BIASES, write_model
from tests.app.tiny import TEXT

TEXTS = ("--calibration", TEXT, "--sequences", 4, "--context", 24)
GRID = ("--group-size", 8, "--asymmetric")
RECIPE = """
[[step]]
method = "rotation"
[[step]]
method = "reassembly"
points = 8
[[step]]
method = "correction"
blocks = 2
epochs = 1
[[step]]
method = "gptq"
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "model", num_hidden_layers=4, **BIASES)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def whole(model, recipe, tmp_path_factory):
    """What the recipe gives in one go."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = run("quantize", model, out, "--recipe", recipe, *TEXTS, *GRID, "--activations", 8)
    assert done.exit_code == 0, done.stderr
    return digests(out)


def asked(model, out, recipe):
    return ("quantize", model, out, "--recipe", recipe, *TEXTS, *GRID, "--activations", 8)


METHODS = ("rtn", "gptq", "awq", "smoothquant", "os+", "lwc", "rotation", "qllm")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_writes_a_model_that_is_evaluated(method, model, tmp_path):
    text = TEXTS if method not in ("rtn", "rotation") else ()
    done = run("quantize", model, tmp_path / "out", "--method", method, *text, *GRID, "--activations", 8, "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["written"]
    assert report["run"]["calibration"]["activations"] == 8
    with_grids, without = (
        perplexity(tmp_path / "out", TEXT, refq_fast, 24, 96, activations=on) for on in ("stored", "off")
    )
    assert with_grids["perplexity"] != without["perplexity"]
    assert np.isfinite(with_grids["perplexity"])


def test_llm_int8_writes_a_model_that_is_evaluated(model, tmp_path):
    options = ("--method", "int8", "--bits", 8, "--group-size", "channel")
    assert run("quantize", model, tmp_path / "out", *options).exit_code == 0
    low, full = (perplexity(folder, TEXT, refq_fast, 24, 96)["perplexity"] for folder in (tmp_path / "out", model))
    assert abs(low / full - 1) < 0.05


@pytest.mark.parametrize("method", ["gptq", "awq", "lwc", "qllm"])
def test_threads_and_memory_do_not_show(method, tmp_path):
    folder = write_model(tmp_path / "model", hidden_size=128, intermediate_size=344, num_hidden_layers=2, head_dim=32)
    told = ("quantize", folder, "--method", method, *TEXTS, *GRID)
    for name, more in {"one": ("--threads", 1), "two": ("--threads", 2), "disk": ("--states-memory", 0)}.items():
        done = run(*told[:2], tmp_path / name, *told[2:], *more)
        assert done.exit_code == 0, done.stderr
    assert digests(tmp_path / "one") == digests(tmp_path / "two") == digests(tmp_path / "disk")
    assert sorted(os.listdir(tmp_path)) == ["disk", "model", "one", "two"]


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
def test_resumed_after_any_block(after, model, recipe, whole, tmp_path, monkeypatch):
    """Killed when so many of four blocks, two at a time, and of what is around them are stored."""
    real, stored = solving.solved.store, []

    def store(*args):
        real(*args)
        stored.append(args[1])
        if len(stored) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(solving.solved, "store", store)
        assert run(*asked(model, tmp_path / "out", recipe)).exit_code == 130
    solved = []
    with monkeypatch.context() as patch:
        group = solving._solve_group
        patch.setattr(solving, "_solve_group", lambda numbers, *rest: solved.append(numbers) or group(numbers, *rest))
        done = run(*asked(model, tmp_path / "out", recipe), "--resume")
    assert done.exit_code == 0, done.stderr
    assert digests(tmp_path / "out") == whole
    assert len(solved) == {1: 2, 2: 2, 3: 1, 4: 1, 5: 0}[after]
    assert os.listdir(tmp_path) == ["out"]


def test_static_grids_of_inputs_are_resumed_too(model, tmp_path, monkeypatch):
    told = ("--method", "gptq", *TEXTS, "--activations", 8, "--activation-range", "tensor", "--group-size", 8)
    assert run("quantize", model, tmp_path / "whole", *told).exit_code == 0
    real = solving.solved.store

    def store(*args):
        real(*args)
        if args[1].endswith("2"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(solving.solved, "store", store)
        assert run("quantize", model, tmp_path / "out", *told).exit_code == 130
    assert run("quantize", model, tmp_path / "out", *told, "--resume").exit_code == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")
    name = "model.layers.0.mlp.down_proj.input_scale"
    assert name in open_checkpoint(tmp_path / "out").tensors


@pytest.mark.parametrize("damage", ["truncated", "altered", "gone"])
def test_a_damaged_block_is_solved_again(damage, model, recipe, whole, tmp_path, monkeypatch):
    def write(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("refq.jobs.calibrated.write_shards", write)
        assert run(*asked(model, tmp_path / "out", recipe)).exit_code == 130
    path = tmp_path / ".out.partial" / "blocks" / "block-00001"
    content = path.read_bytes()
    path.write_bytes(content[:-100] if damage == "truncated" else content[:-1] + bytes([content[-1] ^ 1]))
    if damage == "gone":
        path.unlink()
    assert run(*asked(model, tmp_path / "out", recipe), "--resume").exit_code == 0
    assert digests(tmp_path / "out") == whole


def test_a_finished_run_is_left_as_it_is_and_another_is_refused(model, recipe, tmp_path):
    told = asked(model, tmp_path / "out", recipe)
    assert run(*told).exit_code == 0
    before = os.stat(tmp_path / "out" / "config.json")
    again = run(*told, "--resume")
    assert (again.exit_code, "complete already" in again.stdout) == (0, True)
    assert os.stat(tmp_path / "out" / "config.json") == before
    other, text = tmp_path / "other.toml", tmp_path / "other.txt"
    other.write_text(RECIPE.replace("points = 8", "points = 9"))
    text.write_text(TEXT.read_text() + "More.")
    changes = {
        "calibration.steps.2.points": ("--recipe", other),
        "inputs.calibration": ("--calibration", text),
        "calibration.activations": ("--activations", 6),
        "calibration.sequences": ("--sequences", 3),
        "calibration.seed": ("--seed", 1),
    }
    for name, change in changes.items():
        refused = run(*told, *change, "--resume")
        assert refused.exit_code == 3, refused.stdout
        assert f"cannot be resumed: {name} was" in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 2  # the first says what is needed
    assert run(*told, "--recipe", other, "--resume", "--overwrite").exit_code == 0


def test_1_and_1_dot_0_are_one_recipe(model, tmp_path):
    for number, text in enumerate(("1", "1.0")):
        (tmp_path / "recipe.toml").write_text(f'[[step]]\nmethod = "smoothquant"\nalpha = {text}\n')
        done = run("quantize", model, tmp_path / "out", "--recipe", tmp_path / "recipe.toml", *TEXTS, *GRID, "--resume")
        assert ("complete already" in done.stdout) == bool(number)


STEP = "[[step]]\nmethod = "
MALFORMED = {
    "": "a recipe is a list of tables [[step]]",
    "step = 3": "a recipe is a list of tables [[step]]",
    "step = [1]": "a recipe is a list of tables [[step]]",
    'method = "gptq"': "a recipe is a list of tables [[step]]",
    f'{STEP}"gptq"\n[other]': "a recipe is a list of tables [[step]]",
    "[[step]": "it is no TOML",
    "[[step]]": "step 1: method is None; one of rotation, smoothquant",
    f'{STEP}"best"': "step 1: method is 'best'",
    f"{STEP}3": "step 1: method is 3",
    f'{STEP}"rtn"\nalpha = 1.0': "rtn has no setting alpha; it has none",
    f'{STEP}"gptq"\nalpha = 1.0': "gptq has no setting alpha; it has act_order, static_groups, damping",
    f'{STEP}"gptq"\nact_order = 1': "gptq: act_order is 1; bool is needed",
    f'{STEP}"gptq"\ndamping = "much"': "gptq: damping is 'much'; float is needed",
    f'{STEP}"gptq"\ndamping = true': "gptq: damping is True; float is needed",
    f'{STEP}"gptq"\ndamping = -1.0': "gptq: damping is -1.0; 0 to",
    f'{STEP}"gptq"\ndamping = nan': "gptq: damping is nan; 0 to",
    f'{STEP}"gptq"\ndamping = inf': "gptq: damping is inf; 0 to",
    f'{STEP}"smoothquant"\nalpha = 1.5': "smoothquant: alpha is 1.5; 0 to 1 is needed",
    f'{STEP}"os+"\nfloor = 0': "os+: floor is 0; ",
    f'{STEP}"awq"\nratios = 0': "awq: ratios is 0; 1 to",
    f'{STEP}"awq"\nratios = 2.0': "awq: ratios is 2.0; int is needed",
    f'{STEP}"rotation"\nseed = -1': "rotation: seed is -1; 0 to",
    f'{STEP}"rotation"\nseed = {2**40}': f"rotation: seed is {2**40}; 0 to",
    f'{STEP}"reassembly"\nsearch = "long"': "search is 'long'; one of adaptive, fixed, official is needed",
    f'{STEP}"reassembly"\nratio = "0.1"': "ratio is '0.1'; float is needed",
    f'{STEP}"correction"\nepochs = 0': "correction: epochs is 0; 1 to",
    f'{STEP}"correction"\nblocks = [1]': "correction: blocks is [1]; int is needed",
    f'{STEP}"gptq"\n{STEP}"gptq"': "gptq stands in it twice",
    f'{STEP}"gptq"\n{STEP}"rtn"': "gptq, rtn; the order is rotation; ",
    f'{STEP}"gptq"\n{STEP}"awq"': "gptq, awq; the order is rotation; ",
    f'{STEP}"awq"\n{STEP}"rotation"': "awq, rotation; the order is rotation; ",
    f'{STEP}"reassembly"\n{STEP}"awq"': "reassembly, awq; the order is rotation; ",
    f'{STEP}"lwc"\n{STEP}"tuning"': "lwc, tuning; the order is rotation; ",
    f'{STEP}"int8"': "int8 is LLM.int8(): it needs --bits 8 --group-size channel --symmetric",
    f'{STEP}"reassembly"\nassembly = "none"': 'assembly "none" gives as many channels as it may: it needs --group-size',
}


@pytest.mark.parametrize("content", MALFORMED)
def test_recipes_that_are_none(content, model, tmp_path):
    (tmp_path / "recipe.toml").write_text(content)
    refused = run("quantize", model, tmp_path / "out", "--recipe", tmp_path / "recipe.toml", *TEXTS, *GRID)
    assert refused.exit_code == 2, refused.stdout
    assert MALFORMED[content] in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert os.listdir(tmp_path) == ["recipe.toml"]


TOO_LITTLE = {
    ("--method", "gptq"): "--calibration FILE is needed",
    ("--method", "rotation", "--calibration", TEXT): "no method looks at a text",
    ("--method", "rtn", "--calibration", TEXT): "--method rtn looks at no text: it goes with no --calibration",
    ("--method", "gptq", *TEXTS, "--sequences", 1000): "tokens; 24024 are needed for that --sequences and --context",
    ("--method", "gptq", *TEXTS, "--context", 1000): "--context 1000; this model takes 2..256",
    ("--method", "gptq", *TEXTS, "--activations", 1): "--activations",
    ("--method", "gptq", *TEXTS, "--activations", 17): "--activations",
    ("--method", "gptq", *TEXTS, "--bits", 9): "--bits",
    ("--method", "gptq", *TEXTS, "--group-size", 7): "group_size=7 does not divide",
    ("--method", "gptq", *TEXTS, "--recipe", TEXT): "it goes with no --method",
    ("--method", "kmeans", "--activations", 4, "--range", "mse"): "--method kmeans does not go with --range",
    ("--method", "nf4", "--activations", 4): "goes with no --activations",
    ("--method", "lwc", *TEXTS): "it needs --asymmetric",
    ("--method", "qllm", *TEXTS, "--range", "mse"): "correction trains on min-max grids",
    ("--method", "lwc", *TEXTS, "--asymmetric", "--group-size", "tensor"): "lwc trains on min-max grids",
    ("--method", "int8", "--activations", 4, "--bits", 8, "--group-size", "channel"): "it goes with no --activations",
    ("--method", "rtn", "--activation-range", "tensor"): "it goes with no --activation-range",
    ("--method", "gptq", *TEXTS, "--activation-range", "tensor"): "--activation-range tensor without --activations",
    ("--activations", 8, "--activation-range", "tensor"): "--calibration FILE is needed",
    ("--method", "qllm", *TEXTS, "--activations", 8, "--activation-range", "tensor"): "trains on inputs with a grid a",
    ("--recipe", "nowhere.toml"): "nowhere.toml",
    ("--method", "gptq", "--calibration", "nowhere.txt"): "nowhere.txt",
    ("--method", "gptq", *TEXTS, "--keep", "*_proj"): "nothing is left to quantize",
}


@pytest.mark.parametrize("options", TOO_LITTLE, ids=lambda o: "-".join(str(part)[-12:] for part in o))
def test_options_that_cannot_be(options, model, tmp_path):
    grid = () if "--group-size" in options else ("--group-size", 8)
    refused = run("quantize", model, tmp_path / "out", *options, *grid)
    assert refused.exit_code == 2, (refused.exit_code, refused.stderr)
    assert TOO_LITTLE[options] in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("content", "text"), [(b"abc\xff", "byte 3 is not UTF-8"), (b" \n", "it holds no text")])
def test_a_text_that_is_none(content, text, model, tmp_path):
    (tmp_path / "text").write_bytes(content)
    refused = run("quantize", model, tmp_path / "out", "--method", "gptq", "--calibration", tmp_path / "text", *GRID)
    assert (refused.exit_code, text in refused.stderr) == (3, True), refused.stderr


def test_a_model_without_room_for_the_default_context_needs_none(tmp_path):
    folder = write_model(tmp_path / "model", max_position_embeddings=64)
    assert run("quantize", folder, tmp_path / "out", "--method", "rotation", *GRID).exit_code == 0


def test_a_number_that_no_grid_holds_is_told_with_its_block(tmp_path):
    folder = write_model(tmp_path / "model")
    checkpoint = open_checkpoint(folder)
    file, info = checkpoint.tensors["model.layers.1.mlp.up_proj.weight"]
    with open(file, "r+b") as stream:
        stream.seek(info.start)
        stream.write(np.float32(3e6).tobytes())
    refused = run("quantize", folder, tmp_path / "out", "--method", "gptq", *TEXTS, *GRID)
    assert (refused.exit_code, "model.layers.1: " in refused.stderr) == (3, True), refused.stderr
    assert os.listdir(tmp_path) == ["model"]


class Failing:
    """The module os, but the n-th call that changes the disk fails as on a full one."""

    def __init__(self, number):
        self.left = number

    def __getattr__(self, name):
        call = getattr(os, name)
        return (lambda *args: self._count(call, *args)) if name in ("pwrite", "write", "posix_fallocate") else call

    def _count(self, call, *args):
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return call(*args)


def failing(monkeypatch, number):
    fake = Failing(number)
    for module in (output, journal, arrays_module, states):
        monkeypatch.setattr(module, "os", fake)
    return fake


def test_a_full_disk_at_any_moment(model, recipe, whole, tmp_path, monkeypatch):
    told = [*asked(model, tmp_path / "out", recipe), "--states-memory", 0]
    with monkeypatch.context() as patch:
        fake = failing(patch, 10**6)
        assert run(*told).exit_code == 0
    total = 10**6 - fake.left
    assert digests(tmp_path / "out") == whole
    for number in (1, 2, 3, 4, 6, 8, 12, 16, total // 2, total - 1):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        with monkeypatch.context() as patch:
            failing(patch, number)
            full = run(*told)
        assert full.exit_code == 4, (number, full.stderr)
        assert "No space left on device" in full.stderr.splitlines()[-1]
        assert not (tmp_path / "out").exists()
        assert run(*told, "--resume").exit_code == 0
        assert digests(tmp_path / "out") == whole


def test_room_that_a_killed_run_has_taken_is_not_needed_again(model, recipe, whole, tmp_path, monkeypatch):
    def write(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("refq.jobs.calibrated.write_shards", write)
        assert run(*asked(model, tmp_path / "out", recipe)).exit_code == 130
    room, needed = (
        tmp_path / ".out.partial",
        calibrated.disk_needed(open_checkpoint(model), Calibration(read_steps(recipe), 8, 4, 24), Run()),
    )
    taken = sum(512 * path.stat().st_blocks for folder in ("model", "blocks") for path in (room / folder).iterdir())
    assert taken > 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": needed - taken}))
    assert run(*asked(model, tmp_path / "out", recipe), "--resume").exit_code == 0
    assert digests(tmp_path / "out") == whole


@HAS_PEAK
@pytest.mark.parametrize("method", ["gptq", "tuning"])
def test_the_memory_that_is_promised(method, tmp_path):
    sizes = {"hidden_size": 512, "head_dim": 128, "intermediate_size": 1408, "num_hidden_layers": 4}
    folder = write_model(tmp_path / "model", **sizes)
    (tmp_path / "recipe.toml").write_text(f'[[step]]\nmethod = "{method}"\n' + "epochs = 1\n" * (method == "tuning"))
    told = ("--recipe", tmp_path / "recipe.toml", *TEXTS, "--context", 128, "--states-memory", 1)
    said, peak = measured("quantize", folder, tmp_path / "out", *told)
    assert peak < promised(said) < 3 * peak


def test_every_option_of_the_dry_run(model, recipe, tmp_path):
    done = run(*asked(model, tmp_path / "out", recipe), "--dry-run", "--json")
    plan = json.loads(done.stdout)
    assert plan["disk"] > 0
    assert plan["memory"] > 0
    assert any("input int8 token" in row["format"] for row in plan["tensors"])
    assert os.listdir(tmp_path) == []


def test_the_record_in_words(model, recipe, tmp_path):
    for name, options in {"gptq": ("--method", "gptq"), "recipe": ("--recipe", recipe)}.items():
        done = run("quantize", model, tmp_path / name, *options, *TEXTS, *GRID)
        assert done.exit_code == 0, done.stderr
    said = {name: run("inspect", tmp_path / name).stdout.splitlines() for name in ("gptq", "recipe")}
    assert "quantize: gptq, bits 4, group 8, asymmetric" in said["gptq"][-1]
    assert "quantize: rotation and reassembly and correction and gptq, bits 4" in said["recipe"][-1]
    [there], [made] = ([line.split() for line in lines if "0.mlp.up_proj.weight" in line] for lines in said.values())
    assert float(there[-1]) > 0
    assert made[-2:] == ["-", "-"]  # what was prepared is measured against nothing
