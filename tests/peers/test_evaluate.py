"""Scores of multiple-choice items beside transformers, one choice at a time."""

import numpy as np
import pytest

import refq_fast
from refq.files.task import read_task
from refq.files.tokenizer import open_tokenizer
from refq.jobs.evaluate import score_items
from refq.jobs.model import load_model

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]  # their warnings are theirs
torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")


@pytest.mark.parametrize("name", ["arc_easy", "boolq", "hellaswag", "winogrande"])
def test_twenty_items(data, name):
    folder = data / "models" / "stories260K"
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    items = read_task(data / "commonsense" / f"{name}.jsonl")[:20]
    ours = (load_model(folder, refq_fast), open_tokenizer(folder, 512))
    scores, truncated = score_items(refq_fast, *ours, items, name)
    assert bool(truncated) == (name == "boolq")
    for item, found in zip(items, scores, strict=True):
        expected = _scores(theirs, tokenizer, item)
        assert np.abs(found - expected).max() < 1e-4, (item, found, expected)


def _scores(model, tokenizer, item):
    """Prompt and choice as lm-evaluation-harness cuts them, the prompt as short as the longest choice needs."""
    prompts = item.prompts * (len(item.choices) if len(item.prompts) == 1 else 1)
    pairs = []
    for prompt, choice in zip(prompts, item.choices, strict=True):
        before = tokenizer(prompt)["input_ids"]
        pairs.append((before, tokenizer(f"{prompt} {choice}")["input_ids"][len(before) :]))
    longest = max(len(end) for _, end in pairs)
    scores = []
    for (before, end), choice in zip(pairs, item.choices, strict=True):
        tokens = before[-(model.config.max_position_embeddings + 1 - longest) :] + end
        with torch.no_grad():
            logs = model(torch.tensor([tokens[:-1]])).logits[0].double().log_softmax(-1)
        nats = logs[torch.arange(len(tokens) - 1), torch.tensor(tokens[1:])][-len(end) :]
        scores.append(float(nats.sum()) / len(choice.encode()))
    return np.array(scores)
