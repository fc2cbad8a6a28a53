"""refq quantize: what it writes, what it refuses, and what it says."""

import json
import os

import numpy as np
import pytest
import safetensors

import refq
import refq_fast
from refq.files.checkpoint import open_checkpoint
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model
from tests.app.commands import HAS_PEAK, decoded, digests, measured, small, start
from tests.app.commands import refq as run
from tests.files.models import arrays, save, sharded, write_config

GRANULARITIES = (8, "channel", "tensor")


def expected(w, options):
    """The weights that a reader must see."""
    qmin, qmax = refq.integer_range(options.bits)
    grouped = isinstance(options.group_size, int)
    axis = None if options.group_size == "tensor" else -1
    groups = refq.to_groups(w, options.group_size if grouped else None, axis)
    rule = getattr(refq, options.range)
    scale, zero_point = rule(groups, qmin, qmax, options.symmetric, scale_dtype="float16")
    return refq.from_groups(refq.fake_quantize(groups, scale, zero_point, qmin, qmax), w.shape, axis)


def check_weights(model, out, options):
    originals = open_checkpoint(model)
    found = dict(decoded(out))
    assert len(found) == 14
    for layer, weight in found.items():
        w = originals.read(f"{layer}.weight").astype(np.float32)
        np.testing.assert_array_equal(weight, expected(w, options), err_msg=layer)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return small(tmp_path_factory.mktemp("tiny") / "model")


@pytest.mark.parametrize("group_size", GRANULARITIES)
@pytest.mark.parametrize("symmetric", [True, False], ids=["sym", "asym"])
@pytest.mark.parametrize("bits", range(2, 9))
def test_every_width_and_grid_reads_back_as_fake_quantize(bits, symmetric, group_size, tiny, tmp_path):
    options = Options(bits, group_size, symmetric)
    quantize_model(tiny, tmp_path / "out", refq_fast, options)
    check_weights(tiny, tmp_path / "out", options)


@pytest.mark.parametrize("group_size", GRANULARITIES)
@pytest.mark.parametrize("symmetric", [True, False], ids=["sym", "asym"])
@pytest.mark.parametrize("rule", ["percentile", "mse", "sqnr"])
def test_every_range_rule(rule, symmetric, group_size, tiny, tmp_path):
    options = Options(4, group_size, symmetric, rule)
    quantize_model(tiny, tmp_path / "out", refq_fast, options)
    check_weights(tiny, tmp_path / "out", options)


@pytest.mark.parametrize("options", [Options(4, 8), Options(3, "tensor", False, "mse"), Options(8, "channel", False)])
def test_both_engines_and_any_number_of_threads_write_the_same_bytes(options, tiny, tmp_path):
    quantize_model(tiny, tmp_path / "reference", refq, options)
    for threads in (1, 2):
        refq_fast.threads.use(threads)
        quantize_model(tiny, tmp_path / f"fast{threads}", refq_fast, options)
        assert digests(tmp_path / f"fast{threads}") == digests(tmp_path / "reference")


def test_chunks_of_rows_do_not_show(tiny, tmp_path, monkeypatch):
    options = Options(4, 8, False)
    quantize_model(tiny, tmp_path / "one", refq_fast, options)
    monkeypatch.setattr("refq.jobs.plan.ROW_CHUNK", 40)  # two rows at a time, and a last one alone
    quantize_model(tiny, tmp_path / "many", refq_fast, options)
    assert [v.tolist() for _, v in decoded(tmp_path / "one")] == [v.tolist() for _, v in decoded(tmp_path / "many")]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_half_precision_model_and_what_is_kept_of_it(dtype, tmp_path):
    import ml_dtypes

    dtype = np.float16 if dtype == "float16" else ml_dtypes.bfloat16
    model = small(tmp_path / "model", dtype)
    quantize_model(model, tmp_path / "out", refq_fast, Options(4, 8))
    check_weights(model, tmp_path / "out", Options(4, 8))
    before, after = open_checkpoint(model), open_checkpoint(tmp_path / "out")
    for name in ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"):
        assert after.read(name).dtype == dtype
        assert after.read(name).tobytes() == before.read(name).tobytes()


def test_what_the_directory_holds(tmp_path):
    model = small(tmp_path / "model", torch_dtype="bfloat16", pretraining_tp=1)
    for name in ("generation_config.json", "special_tokens_map.json", "LICENSE.txt"):
        (model / name).write_text("{}")
    (model / "optimizer.bin").write_text("not ours")
    assert run("quantize", model, tmp_path / "out", "--group-size", 8).exit_code == 0
    out = tmp_path / "out"
    assert sorted(os.listdir(out)) == [
        *("LICENSE.txt", "config.json", "generation_config.json", "model.safetensors", "special_tokens_map.json"),
        "tokenizer.json",
    ]
    config = json.loads((out / "config.json").read_text())
    assert config["dtype"] == "float32"
    assert "torch_dtype" not in config
    assert config["pretraining_tp"] == 1
    assert config["quantization_config"]["ignore"] == ["lm_head"]
    assert config["quantization_config"]["config_groups"]["group_0"]["targets"] == ["Linear"]
    with safetensors.safe_open(out / "model.safetensors", "numpy") as file:
        scale = file.get_tensor("model.layers.0.mlp.up_proj.weight_scale")
        assert file.metadata()["format"] == "pt"
        record = json.loads(file.metadata()["refq"])["run"]
    assert scale.dtype == np.float32
    assert (scale == scale.astype(np.float16)).all()
    assert str(tmp_path) not in json.dumps(record)
    assert set(record["inputs"]) == {
        *("LICENSE.txt", "config.json", "generation_config.json", "model.safetensors", "special_tokens_map.json"),
        "tokenizer.json",
    }


def test_every_tensor_starts_at_a_multiple_of_its_element(tmp_path):
    model = small(tmp_path / "model", np.float16, vocab_size=23)
    quantize_model(model, tmp_path / "out", refq_fast, Options(3, "tensor", False))
    for file, info in open_checkpoint(tmp_path / "out").tensors.values():
        size = {"I64": 8, "I32": 4, "F32": 4, "F16": 2, "I8": 1}[info.dtype]
        assert info.start % size == 0, (file, info)


def test_shards_keep_their_names(tmp_path):
    sharded(tmp_path / "model")
    assert run("quantize", tmp_path / "model", tmp_path / "out", "--group-size", 8).exit_code == 0
    shards = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    assert sorted(os.listdir(tmp_path / "out")) == [
        "config.json",
        *shards,
        "model.safetensors.index.json",
        "tokenizer.json",
    ]
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    stored = open_checkpoint(tmp_path / "out").tensors.values()
    assert index["metadata"]["total_size"] == sum(info.end - info.start for _, info in stored)
    check_weights(tmp_path / "model", tmp_path / "out", Options(4, 8))


def test_all_group_sizes_that_do_not_divide_are_told_at_once(tmp_path):
    model = small(tmp_path / "model", hidden_size=24, intermediate_size=36)
    result = run("quantize", model, tmp_path / "out", "--group-size", 16)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        "refq: group_size=16 does not divide the inputs of 14 layers: 24 inputs (q_proj, k_proj, v_proj, o_proj, "
        "gate_proj, up_proj; 12 layers; 8, 4, 2 would do), 36 inputs (down_proj; 2 layers; 4, 2 would do); "
        "powers of two that divide all: 4, 2; --fallback channel quantizes those 14 per channel\n"
    )
    assert os.listdir(tmp_path) == ["model"]


def test_fallback_quantizes_just_those_per_channel(tmp_path):
    model = small(tmp_path / "model", intermediate_size=36)
    result = run("quantize", model, tmp_path / "out", "--group-size", 8, "--fallback", "channel")
    assert result.exit_code == 0
    told = result.stdout.split("per channel, because the group size does not divide them:\n")[1]
    assert told.splitlines()[0] == "  model.layers.*.mlp.down_proj (2)"
    assert "down_proj" not in told.split("\n", 1)[1]
    schemes = open_checkpoint(tmp_path / "out").schemes
    fallen = {name for name, scheme in schemes.items() if scheme.strategy == "channel"}
    assert fallen == {f"model.layers.{n}.mlp.down_proj" for n in (0, 1)}
    assert len(schemes) == 14


def test_the_real_model(data, tmp_path):
    model = data / "models" / "stories260K"
    refused = run("quantize", model, tmp_path / "out")
    assert refused.exit_code == 2
    told = "5 layers: 172 inputs (down_proj; 5 layers); powers of two that divide all: 4, 2; --fallback"
    assert told in refused.stderr
    for engine in ("fast", "reference"):
        done = run("quantize", model, tmp_path / engine, "--fallback", "channel", "--json", "--engine", engine)
        report = json.loads(done.stdout)
        assert report["fallback"] == [f"model.layers.{n}.mlp.down_proj.weight" for n in range(5)]
        assert 4.2 < report["bits_per_weight"] < 5.1
        assert report["worst"][0]["sqnr_db"] > 15
    assert digests(tmp_path / "fast") == digests(tmp_path / "reference")
    assert run("quantize", model, tmp_path / "four", "--group-size", 4, "--asymmetric").exit_code == 0


def test_keep(tiny, tmp_path):
    options = ("--keep", "down_proj", "--keep", "lm_head", "--keep", "model.layers.1.*", "--group-size", 8)
    assert run("quantize", tiny, tmp_path / "out", *options).exit_code == 0
    checkpoint = open_checkpoint(tmp_path / "out")
    parts = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
    assert list(checkpoint.schemes) == [f"model.layers.0.{p}" for p in (*parts, "mlp.gate_proj", "mlp.up_proj")]
    assert checkpoint.read("model.layers.0.mlp.down_proj.weight").dtype == np.float32


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--keep", "nothing"), "--keep nothing fits no linear layer"),
        (("--keep", "mlp"), "a part needs stars: '*mlp*'"),
        (("--keep", "*_proj"), "nothing is left to quantize"),
        (("--bits", "9"), "--bits"),
        (("--group-size", "0"), "'0' is not 'channel', 'tensor' or a positive number"),
        (("--group-size", "rows"), "'rows' is not"),
        (("--range", "best"), "--range"),
        (("--threads", "1000"), "--threads 1000; this process may use 1.."),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_options_that_cannot_be(options, text, tiny, tmp_path):
    result = run("quantize", tiny, tmp_path / "out", *options)
    assert result.exit_code == 2
    assert text in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("wrong", [{"bits": 9}, {"bits": True}, {"group_size": 0}, {"range": "x"}, {"fallback": "x"}])
def test_the_python_api_checks_its_options_too(wrong, tiny, tmp_path):
    with pytest.raises(refq.errors.UsageError, match=next(iter(wrong))):
        quantize_model(tiny, tmp_path / "out", refq, Options(**wrong))


def test_out_that_cannot_be(tmp_path):
    model = small(tmp_path / "model")
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "precious.txt").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "model")
    cases = {
        "model": "one directory",
        "link": "one directory",
        "model/out": "one directory",
        ".": "one directory",
        "file": "is a file",
        "folder": "exists; --overwrite replaces it",
        "missing/out": "does not exist",
    }
    for out, text in cases.items():
        result = run("quantize", model, tmp_path / out, "--group-size", 8)
        assert (result.exit_code, text in result.stderr) == (2, True), (out, result.stderr)
    result = run("quantize", model, tmp_path / "folder", "--group-size", 8, "--overwrite")
    assert (result.exit_code, "only a model directory is replaced" in result.stderr) == (2, True)
    assert run("quantize", tmp_path / "nowhere", tmp_path / "out").exit_code == 2
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "link", "model"]


def test_overwrite(tiny, tmp_path):
    assert run("quantize", tiny, tmp_path / "out", "--group-size", 8).exit_code == 0
    before = digests(tmp_path / "out")
    assert run("quantize", tiny, tmp_path / "out", "--group-size", 8, "--bits", 8).exit_code == 2
    assert digests(tmp_path / "out") == before
    assert run("quantize", tiny, tmp_path / "out", "--group-size", 8, "--bits", 8, "--overwrite").exit_code == 0
    assert digests(tmp_path / "out") != before
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_weight_that_is_not_finite(dtype, value, tmp_path):
    import ml_dtypes

    dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    write_config(tmp_path / "model")
    tensors = arrays(tmp_path / "model", dtype)
    tensors["model.layers.1.mlp.up_proj.weight"][17, 3] = value
    save(tmp_path / "model" / "model.safetensors", tensors)
    result = run("quantize", tmp_path / "model", tmp_path / "out", "--group-size", 8)
    assert result.exit_code == 3
    assert f"model.safetensors: tensor model.layers.1.mlp.up_proj.weight[17, 3] is {value}" in result.stderr
    assert os.listdir(tmp_path) == ["model"]


def test_a_scale_that_float16_cannot_hold(tmp_path):
    write_config(tmp_path / "model")
    tensors = arrays(tmp_path / "model")
    tensors["model.layers.1.mlp.up_proj.weight"][17, 3] = 1e6
    save(tmp_path / "model" / "model.safetensors", tensors)
    result = run("quantize", tmp_path / "model", tmp_path / "out", "--group-size", 8)
    assert result.exit_code == 3
    assert "tensor model.layers.1.mlp.up_proj.weight: " in result.stderr
    assert os.listdir(tmp_path) == ["model"]


def test_zeros_and_tiny_weights(tmp_path):
    write_config(tmp_path / "model")
    tensors = arrays(tmp_path / "model")
    tensors["model.layers.0.mlp.up_proj.weight"][:] = 0
    tensors["model.layers.0.mlp.gate_proj.weight"] *= np.float32(1e-30)
    save(tmp_path / "model" / "model.safetensors", tensors)
    result = run("quantize", tmp_path / "model", tmp_path / "out", "--group-size", 8, "--json")
    assert result.exit_code == 0
    check_weights(tmp_path / "model", tmp_path / "out", Options(4, 8))
    assert "NaN" not in result.stdout


@pytest.mark.parametrize("content", ["{}", None], ids=["malformed", "missing"])
def test_a_tokenizer_is_checked_before_anything_is_written(tmp_path, content):
    model = small(tmp_path / "model")
    (model / "tokenizer.json").unlink()
    if content:
        (model / "tokenizer.json").write_text(content)
    result = run("quantize", model, tmp_path / "out", "--group-size", 8)
    assert result.exit_code == 3
    assert "tokenizer.json" in result.stderr
    assert os.listdir(tmp_path) == ["model"]


def test_a_quantized_model_is_not_quantized_again(tiny, tmp_path):
    quantize_model(tiny, tmp_path / "once", refq, Options(4, 8))
    result = run("quantize", tmp_path / "once", tmp_path / "twice", "--group-size", 8)
    assert result.exit_code == 3
    assert "is quantized already" in result.stderr


def test_json_is_one_object_and_all_else_goes_to_stderr(tiny, tmp_path):
    result = run("quantize", tiny, tmp_path / "out", "--group-size", 8, "--bits", 3, "--json")
    report = json.loads(result.stdout)
    assert report["kinds"][-1]["kind"] == "all"
    assert report["kinds"][-1]["bytes"] < report["kinds"][-1]["bytes_before"]
    assert report["run"]["options"]["bits"] == 3
    assert "compressed-tensors 0.18" in result.stderr
    table = run("quantize", tiny, tmp_path / "out2", "--group-size", 8)
    assert "compressed-tensors" not in table.stderr
    for word in ("attention", "mlp", "embedding", "norm", "lm_head", "worst by SQNR"):
        assert word in table.stdout


def test_what_is_needed_is_said_of_large_models_alone(tiny, tmp_path, monkeypatch):
    assert "are needed" not in run("quantize", tiny, tmp_path / "out", "--group-size", 8).stderr
    monkeypatch.setattr("refq.jobs.progress.WORTH_SAYING", 0)
    said = run("quantize", tiny, tmp_path / "out2", "--group-size", 8).stderr
    assert said.count("of memory and") == said.count("of disk are needed") == 1


def test_scales_are_counted(tiny, tmp_path):
    report = json.loads(run("quantize", tiny, tmp_path / "out", "--group-size", 8, "--json").stdout)
    mlp = next(row for row in report["kinds"] if row["kind"] == "mlp")
    weights = 6 * 16 * 32
    assert mlp["bytes"] == weights // 2 + 4 * weights // 8 + 6 * 16  # codes, scales, and six shapes of two int64
    assert mlp["bits_per_weight"] == 8 * mlp["bytes"] / weights


def test_dry_run_says_it_all_and_writes_nothing(tiny, tmp_path):
    result = run("quantize", tiny, tmp_path / "out", "--group-size", 8, "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert os.listdir(tmp_path) == []
    done = json.loads(run("quantize", tiny, tmp_path / "out", "--group-size", 8, "--json").stdout)
    assert sum(row["bytes"] for row in plan["tensors"]) == done["kinds"][-1]["bytes"]
    written = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert written < plan["disk"] < written + 100_000
    text = run("quantize", tiny, tmp_path / "x", "--group-size", 8, "--keep", "model.layers.0.*", "--dry-run").stdout
    assert "memory are needed" in text
    rows = [line.split() for line in text.splitlines() if "down_proj" in line]
    assert rows == [
        ["model.layers.*.mlp.down_proj.weight", "F32", "1", "2.05", "kB", "2.05", "kB"],
        ["model.layers.*.mlp.down_proj.weight", "int4", "8", "sym", "1", "2.05", "kB", "528", "B"],
    ]
    assert any(line.split()[0] == "model.layers.*.self_attn.q_proj.weight" for line in text.splitlines())


@HAS_PEAK
@pytest.mark.parametrize("options", [("--range", "mse"), ("--group-size", "tensor", "--asymmetric"), ("--bits", 3)])
def test_memory_stays_below_what_is_promised(options, tmp_path):
    sizes = {"vocab_size": 4096, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 4}
    model = small(tmp_path / "model", **sizes)
    # a cache of its own: the first run, which compiles, must stay below too
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    _, peak = measured("quantize", model, tmp_path / "out", *options, env=environment)
    assert peak < 16 * 4096 * 512 + 300e6


def test_help_shows_what_is_taken():
    text = " ".join(run("quantize", "--help").stdout.split())
    assert "--group-size channel|tensor|N" in text
    assert "the whole name of a layer or its last parts: down_proj, model.layers.0.*" in text


def test_help_imports_little():
    assert "quantize" in start("--help").communicate()[0]
    code = "import sys, refq.app.main; print([m for m in ('numba', 'tokenizers', 'tqdm') if m in sys.modules])"
    assert start(python=["-c", code]).communicate()[0].strip() == "[]"


def test_debug_shows_the_traceback(tiny, tmp_path):
    result = run("quantize", tiny, tmp_path / "out", "--keep", "x", "--group-size", 8, "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr


@pytest.mark.parametrize("mode", ["--dry-run", "--json"])
@pytest.mark.parametrize("rule", ["minmax", "mse", "sqnr"])
def test_a_scale_beyond_float16_is_found_before_anything_is_written(tmp_path, monkeypatch, mode, rule):
    model = small(tmp_path / "model")
    tensors = arrays(model)
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = 1e6
    save(model / "model.safetensors", tensors)
    monkeypatch.setattr("refq.jobs.output.claim", None)  # nothing is begun
    result = run("quantize", model, tmp_path / "out", "--group-size", 8, "--range", rule, mode)
    assert result.exit_code == 3
    assert "model.layers.1.mlp.up_proj.weight" in result.stderr
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("generation_config.json", "{"), ("generation_config.json", '{"eos_token_id": 9999}'), ("vocab.json", "nope")],
)
def test_a_malformed_file_beside_the_weights_is_refused(tmp_path, name, content):
    model = small(tmp_path / "model")
    (model / name).write_text(content)
    result = run("quantize", model, tmp_path / "out", "--group-size", 8)
    assert result.exit_code == 3
    assert name in result.stderr
    assert os.listdir(tmp_path) == ["model"]


def test_a_resume_of_a_complete_run_says_that_it_wrote_nothing(tiny, tmp_path):
    arguments = ("quantize", tiny, tmp_path / "out", "--group-size", 8, "--resume")
    assert f"{tmp_path}/out: written in " in run(*arguments).stdout
    assert run(*arguments).stdout.endswith("out: complete already, nothing written\n")
    again, fresh = (json.loads(run(*arguments, *more, "--json").stdout) for more in ((), ("--bits", 8, "--overwrite")))
    assert (again["written"], fresh["written"]) == (False, True)
    assert again["run"]["command"] == "quantize"


def test_a_resume_of_another_run_says_what_would_do(tiny, tmp_path):
    arguments = ("quantize", tiny, tmp_path / "out", "--group-size", 8)
    quantize_model(tiny, tmp_path / "out", refq, Options(4, 8))
    refused = run(*arguments, "--bits", 8, "--resume")
    assert (refused.exit_code, refused.stderr.endswith("; --overwrite replaces it\n")) == (3, True)
    assert run(*arguments, "--bits", 8, "--resume", "--overwrite").exit_code == 0
    os.rename(tmp_path / "out", tmp_path / "whole")
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "journal").write_text('{"bits":8}\n')
    refused = run(*arguments, "--resume")
    assert (refused.exit_code, refused.stderr.endswith("; without --resume it is begun anew\n")) == (3, True)
    assert run(*arguments).exit_code == 0


def test_a_pattern_twice_is_the_same_run(tiny, tmp_path):
    twice = ("--keep", "down_proj", "--keep", "down_proj")
    assert run("quantize", tiny, tmp_path / "out", "--group-size", 8, *twice).exit_code == 0
    assert run("quantize", tiny, tmp_path / "out", "--group-size", 8, *twice[:2], "--resume").exit_code == 0


@pytest.mark.parametrize("journal", ['[1]\n{"x": 2}\n', '{"a": 1}\n{"x": 2}\n', "", "nope"])
def test_a_journal_that_is_not_ours_is_forgotten_or_refused(tiny, tmp_path, journal):
    (tmp_path / ".out.partial" / "model").mkdir(parents=True)
    (tmp_path / ".out.partial" / "journal").write_text(journal)
    result = run("quantize", tiny, tmp_path / "out", "--group-size", 8, "--resume")
    assert result.exit_code == (3 if journal.startswith("{") else 0), result.stderr


def test_a_record_of_others_in_the_original_does_no_harm(tmp_path):
    write_config(tmp_path / "model")
    save(tmp_path / "model" / "model.safetensors", arrays(tmp_path / "model"), {"refq": "?"})
    result = run("quantize", tmp_path / "model", tmp_path / "out", "--group-size", 8)
    assert result.exit_code == 0
