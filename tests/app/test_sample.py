"""refq sample: documents by hand, the same whatever the threads and wherever it was killed, and distill reads them."""

import errno
import hashlib
import json
import os
import signal
import time

import numpy as np
import pytest

import refq as reference
import refq_fast
from refq.files.tokenizer import open_tokenizer
from refq.jobs import output, sample
from refq.jobs.documents import Settings, documents
from refq.jobs.generate import sample as sample_one
from refq.jobs.generate import sample_rows
from refq.jobs.model import load_model
from refq.jobs.text import SEPARATOR
from tests.app.commands import refq as run
from tests.app.commands import start
from tests.app.tiny import write_model
from tests.support import both

OPTIONS = ("--tokens", 900, "--batch", 4)
START, END = 256, 257


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A seeded model of bytes."""
    folder = tmp_path_factory.mktemp("models") / "model"
    write_model(folder)
    return folder


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out.txt"
    result = run("sample", tiny, out, *OPTIONS)
    assert result.exit_code == 0, result.output
    return out


class Fixed:
    def __init__(self, value):
        self.random = lambda: value


def drawn(seed, number, count):
    """The numbers in [0, 1) of one document."""
    return (np.random.PCG64([seed, number]).random_raw(count) >> np.uint64(11)) * 2.0**-53


@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.5, 0.01])
@pytest.mark.parametrize("temperature", [1.0, 0.5, 1e-300])
def test_rows_are_drawn_like_one(top_p, temperature):
    random = np.random.default_rng(0)
    logits, uniform = random.integers(-3, 4, (300, 7)).astype(np.float32), random.random(300)
    found = sample_rows(logits, temperature, top_p, uniform)
    if top_p < 1:
        expected = [sample_one(row, temperature, top_p, Fixed(u)) for row, u in zip(logits, uniform, strict=True)]
    else:  # the order of the ids
        p = np.exp((logits.astype(np.float64) - logits.max(axis=1, keepdims=True)) / temperature)
        total = p.cumsum(axis=1)
        expected = [int(np.searchsorted(t, u * t[-1], side="right")) for t, u in zip(total, uniform, strict=True)]
    assert found.tolist() == expected


def test_a_token_without_probability_is_never_drawn():
    logits = np.float32([[-np.inf, 0, 0, -np.inf]])
    for top_p in (1.0, 0.9):
        assert [int(sample_rows(logits, 1.0, top_p, np.array([u]))[0]) for u in (0.0, 0.75, 1 - 2.0**-53)] == [1, 2, 2]


@both
@pytest.mark.parametrize("top_p", [1.0, 0.8])
def test_documents_by_hand(engine, tiny, top_p):
    """One after the other, each through the whole forward pass."""
    config, params = load_model(tiny, engine)
    config = config | {"max_position_embeddings": 24}
    ends, settings = [START, END, *range(40, 60)], Settings(seed=3, top_p=top_p)
    told = []
    found = documents(engine, (config, params), (START, ends), settings, range(5, 11), told.append)
    for number, ids in zip(range(5, 11), found, strict=True):
        expected, uniform = [START], drawn(3, number, 24)
        for u in uniform:
            logits = engine.llama_forward(params, np.array([expected], np.int32), config)[:, -1]
            token = int(sample_rows(logits, 1.0, top_p, np.array([u]))[0])
            if token in ends:
                break
            expected.append(token)
        assert ids == expected[1:]
    assert len({len(ids) for ids in found}) > 1, "documents must end at different places here"
    assert sum(told) == sum(map(len, found))


def test_the_reference_knows_no_batch(tiny):
    config, params = load_model(tiny, reference)
    model, ends = (config | {"max_position_embeddings": 40}, params), [START, *range(60)]
    parts = {
        batch: [
            ids
            for first in range(0, 12, batch)
            for ids in documents(reference, model, (START, ends), Settings(), range(first, first + batch), some)
        ]
        for batch in (1, 3, 12)
    }
    assert parts[1] == parts[3] == parts[12]


def some(count):
    assert count > 0


@pytest.mark.parametrize("separator", ["endoftext", "newline"])
def test_the_file_by_hand(separator, tiny, tmp_path):
    result = run("sample", tiny, tmp_path / "out.txt", *OPTIONS, "--separator", separator, "--json")
    assert result.exit_code == 0, result.output
    tokenizer, made, number = open_tokenizer(tiny, 258), [], 0
    loaded = load_model(tiny, refq_fast)
    while sum(len(ids) for ids, _ in made) < 900:
        for ids in documents(refq_fast, loaded, (START, [START, END]), Settings(), range(number, number + 4), some):
            if sum(len(ids) for ids, _ in made) < 900 and tokenizer.decode(ids).strip():
                made.append((ids, tokenizer.decode(ids).strip()))
        number += 4
    between = f"\n{SEPARATOR}\n" if separator == "endoftext" else "\n"
    raw = (tmp_path / "out.txt").read_bytes()
    assert raw.decode() == between.join(text for _, text in made) + "\n"
    report = json.loads(result.stdout)
    assert report.pop("seconds") > 0
    figures = {
        "documents": len(made),
        "tokens": sum(len(ids) for ids, _ in made),
        "bytes": len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
    }
    assert report == {"out": str(tmp_path / "out.txt"), "written": True} | figures
    record = json.loads((tmp_path / "out.txt.json").read_text())
    assert record.pop("run")["settings"] == Settings(900, batch=4, separator=separator)._asdict()
    assert record == figures


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_the_same_command_gives_the_same_bytes_whatever_the_threads(engine, tiny, tmp_path):
    for threads in (1, min(2, os.cpu_count())):
        out = tmp_path / str(threads)
        assert run("sample", tiny, out, *OPTIONS, "--threads", threads, "--engine", engine).exit_code == 0
    first, *rest = (path.read_bytes() for path in sorted(tmp_path.iterdir()) if path.suffix != ".json")
    assert all(other == first for other in rest)


def test_a_seed_is_another_text(tiny, whole, tmp_path):
    assert run("sample", tiny, tmp_path / "out.txt", *OPTIONS, "--seed", 1).exit_code == 0
    assert (tmp_path / "out.txt").read_bytes() != whole.read_bytes()


def test_a_run_that_ends_after_any_batch_resumes_to_the_same_bytes(tiny, whole, tmp_path, monkeypatch):
    real, stops = output.write_whole, 0
    while True:
        out, calls = tmp_path / f"out{stops}.txt", []

        def stopping(*args, calls=calls, stop=stops):
            real(*args)
            calls.append(1)
            if len(calls) > stop:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(output, "write_whole", stopping)
            found = run("sample", tiny, out, *OPTIONS)
        if found.exit_code == 0:
            break
        assert found.exit_code == 130
        assert "--resume continues" in found.stderr
        assert not out.exists()
        assert run("sample", tiny, out, *OPTIONS, "--resume").exit_code == 0
        assert out.read_bytes() == whole.read_bytes()
        assert (tmp_path / f"{out.name}.json").read_bytes() == (whole.parent / f"{whole.name}.json").read_bytes()
        stops += 1
    assert stops > 1
    assert not list(tmp_path.glob(".*"))


def test_a_killed_process_resumes_to_the_same_bytes(tiny, whole, tmp_path):
    process = start("sample", tiny, tmp_path / "out.txt", *OPTIONS)
    state, deadline = tmp_path / ".out.txt.partial" / "state", time.monotonic() + 60
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert run("sample", tiny, tmp_path / "out.txt", *OPTIONS, "--resume").exit_code == 0
    assert (tmp_path / "out.txt").read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.txt", "out.txt.json"]


def test_what_a_kill_wrote_beyond_the_state_is_cut_off(tiny, whole, tmp_path, monkeypatch):
    interrupted(tiny, tmp_path, monkeypatch)
    with open(tmp_path / ".out.txt.partial" / "model", "ab") as file:
        file.write(b"half a docum")
    assert run("sample", tiny, tmp_path / "out.txt", *OPTIONS, "--resume").exit_code == 0
    assert (tmp_path / "out.txt").read_bytes() == whole.read_bytes()


def test_a_damaged_text_is_not_resumed(tiny, tmp_path, monkeypatch):
    interrupted(tiny, tmp_path, monkeypatch)
    text = tmp_path / ".out.txt.partial" / "model"
    text.write_bytes(text.read_bytes()[:-3] + b"xyz")
    found = run("sample", tiny, tmp_path / "out.txt", *OPTIONS, "--resume")
    assert found.exit_code == 3
    assert "damaged; without --resume the run begins anew" in found.stderr
    assert run("sample", tiny, tmp_path / "out.txt", *OPTIONS).exit_code == 0


def interrupted(tiny, folder, monkeypatch):
    real = output.write_whole

    def stopping(*args):
        real(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(output, "write_whole", stopping)
        assert run("sample", tiny, folder / "out.txt", *OPTIONS).exit_code == 130


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (("--seed", "1"), "settings.seed was 0, is 1"),
        (("--batch", "8"), "settings.batch was 4, is 8"),
        (("--engine", "reference"), 'engine was "refq_fast", is "refq"'),
    ],
)
def test_another_run_is_not_resumed(other, words, tiny, tmp_path, monkeypatch):
    interrupted(tiny, tmp_path, monkeypatch)
    found = run("sample", tiny, tmp_path / "out.txt", *OPTIONS, *other, "--resume")
    assert found.exit_code == 3
    assert words in found.stderr


def test_a_finished_run_is_not_repeated_and_nothing_is_replaced_unasked(tiny, whole, tmp_path):
    out = tmp_path / "out.txt"
    out.write_bytes(whole.read_bytes())
    (tmp_path / "out.txt.json").write_bytes((whole.parent / "out.txt.json").read_bytes())
    found = run("sample", tiny, out, *OPTIONS, "--resume", "--json")
    assert found.exit_code == 0
    assert json.loads(found.stdout)["written"] is False
    for more in ((), ("--seed", 1, "--resume")):
        found = run("sample", tiny, out, *OPTIONS, *more)
        assert found.exit_code == 2
        assert "--overwrite replaces it" in found.stderr
    out.write_text("mine")
    assert "is not of this run" in run("sample", tiny, out, *OPTIONS, "--resume").stderr
    assert out.read_text() == "mine"
    assert run("sample", tiny, out, *OPTIONS, "--overwrite").exit_code == 0
    assert out.read_bytes() == whole.read_bytes()


def test_a_kill_between_the_record_and_the_text_is_resumed(tiny, whole, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(output, "publish", stop)
        assert run("sample", tiny, tmp_path / "out.txt", *OPTIONS).exit_code == 130
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.txt.json"]
    assert run("sample", tiny, tmp_path / "out.txt", *OPTIONS, "--resume").exit_code == 0
    assert (tmp_path / "out.txt").read_bytes() == whole.read_bytes()


def test_an_output_that_appears_meanwhile_is_not_replaced(tiny, tmp_path, monkeypatch):
    real = output.publish

    def publish(room, out, replace):
        (tmp_path / "out.txt").write_text("theirs")
        real(room, out, replace)

    monkeypatch.setattr(output, "publish", publish)
    found = run("sample", tiny, tmp_path / "out.txt", *OPTIONS)
    assert found.exit_code == 3
    assert "has appeared meanwhile" in found.stderr
    assert (tmp_path / "out.txt").read_text() == "theirs"


def test_a_full_disk(tiny, whole, tmp_path, monkeypatch):
    real, calls = output.write, []

    def full(*args):
        calls.append(1)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(output, "write", full)
        found = run("sample", tiny, tmp_path / "out.txt", *OPTIONS)
    assert found.exit_code == 4
    assert "out.txt: No space left on device" in found.stderr
    assert "--resume continues" in found.stderr
    assert run("sample", tiny, tmp_path / "out.txt", *OPTIONS, "--resume").exit_code == 0
    assert (tmp_path / "out.txt").read_bytes() == whole.read_bytes()


def test_what_is_needed_is_said(tiny, tmp_path):
    said = run("sample", tiny, tmp_path / "out.txt", *OPTIONS).stderr
    assert said.count("of memory and about 7.20 kB of disk are needed") == 1


def test_a_low_bit_model_writes_too(tiny, tmp_path):
    assert run("quantize", tiny, tmp_path / "w4").exit_code == 0
    for engine in ("fast", "reference"):
        assert run("sample", tmp_path / "w4", tmp_path / engine, *OPTIONS, "--engine", engine).exit_code == 0


def test_what_is_sampled_can_be_distilled_from(tiny, whole, tmp_path):
    training = ("--steps", "2", "--batch", "2", "--context", "16", "--group-size", "8")
    found = run("distill", tiny, tmp_path / "student", "--text", whole, *training)
    assert found.exit_code == 0, found.stderr


def edited(tiny, folder, **changes):
    """A copy without a start token, and with other settings."""
    os.makedirs(folder)
    for path in tiny.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "generation_config.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def test_refused(tiny, tmp_path):
    silent = edited(tiny, tmp_path / "silent", bos_token_id=None)
    mute = edited(tiny, tmp_path / "mute", eos_token_id=list(range(256)))
    (tmp_path / "folder").mkdir()
    out = tmp_path / "out.txt"
    cases = [
        ((silent, out), 2, "no start token; a document begins with one"),
        ((mute, out, "--batch", 100), 2, "documents of this model have no text"),
        ((tiny, tmp_path / "folder"), 2, "is a directory; a file is written"),
        ((tiny, tiny / "tokenizer.json"), 2, "choose another OUT"),
        ((tiny, tmp_path / "nowhere" / "out.txt"), 2, "does not exist"),
        ((tiny, out, "--tokens", 0), 2, "--tokens"),
        ((tiny, out, "--temperature", 0), 2, "--temperature"),
        ((tiny, out, "--temperature", "nan"), 2, "--temperature"),
        ((tiny, out, "--top-p", 0), 2, "--top-p"),
        ((tiny, out, "--seed", -1), 2, "--seed"),
        ((tiny, out, "--separator", "tab"), 2, "--separator"),
    ]
    for arguments, code, words in cases:
        found = run("sample", *arguments)
        assert (found.exit_code, found.stdout) == (code, ""), (arguments, found.output)
        assert words in found.stderr, (arguments, found.stderr)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "mute", "silent"]


def test_the_api_refuses_the_same(tiny, tmp_path):
    for settings in (Settings(tokens=0), Settings(batch=0), Settings(temperature=0.0), Settings(top_p=1.1)):
        with pytest.raises(sample.UsageError, match="needed"):
            sample.sample_model(tiny, tmp_path / "out.txt", reference, settings)
    for settings in (Settings(seed=-1), Settings(separator="tab"), Settings(temperature=float("nan"))):
        with pytest.raises(sample.UsageError, match="needed"):
            sample.sample_model(tiny, tmp_path / "out.txt", reference, settings)


def test_a_real_model_writes_stories(data, tmp_path):
    """Documents end where the next would begin: stories260K has no end token of its own."""
    out = tmp_path / "out.txt"
    assert run("sample", data / "models" / "stories260K", out, "--tokens", 3000, "--batch", 16).exit_code == 0
    stories = out.read_text().split(f"\n{SEPARATOR}\n")
    assert sum(story.startswith("Once upon a time") for story in stories) > len(stories) / 2
    assert len({len(story) for story in stories}) > 3
