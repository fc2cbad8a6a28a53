"""What refq finetune writes, loaded by transformers: the same logits and states; codebooks it refuses."""

import json

import numpy as np
import pytest

import refq_fast
from refq.jobs.encoder import load_encoder, states
from refq.jobs.finetune import Finetuning, finetune_model
from refq.jobs.sentences import open_task
from tests.files.encoders import ALBERT, CONFIG, albert_name, write_encoder
from tests.files.test_encoder import tensors

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]  # their warnings are theirs
torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

LABELS = [{"sentence1": "the cat sat", "sentence2": "a dog .", "label": n} for n in range(3)]
LABELS += [{"sentence1": "the dogs on the mat .", "sentence2": "a cat", "label": 1}]
SCORES = [{"sentence1": "the cat", "sentence2": "a dog sat on the mat", "score": 2}]
MODELS = {"bert": (CONFIG, str), "albert": (ALBERT, albert_name), "tanh": (CONFIG | {"hidden_act": "gelu_new"}, str)}


def tuned(folder, name, items, **settings):
    raw, rename = MODELS[name]
    weights = {key: array * np.float32(0.3) for key, array in tensors(folder, raw).items()}
    model = write_encoder(folder / name, raw, weights, rename)
    (folder / "set.jsonl").write_text("\n".join(map(json.dumps, items)))
    settings = Finetuning(batch=2, tokens=8, lr=1e-3, **settings)
    finetune_model(model, folder / "out", (folder / "set.jsonl", None), refq_fast, settings)
    return folder / "out"


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("items", [LABELS, SCORES], ids=["labels", "scores"])
@pytest.mark.parametrize("name", MODELS)
def test_float_results(name, items, shared, tmp_path):
    if shared and name == "albert":
        pytest.skip("one layer serves for all of ALBERT already")
    out = tuned(tmp_path, name, items, share_layers=shared)
    kind = transformers.AutoModelForSequenceClassification if items is LABELS else transformers.AutoModel
    theirs, said = kind.from_pretrained(out, dtype=torch.float32, output_loading_info=True)
    assert not any(said.values()), said
    assert type(theirs).__name__.startswith("Albert" if shared or name == "albert" else "Bert")
    config, params = load_encoder(out)
    task = open_task(out, config, tmp_path / "set.jsonl")
    for numbers, _, hidden, pooled in states(refq_fast, (config, params), task.encoded):
        for row, number in enumerate(numbers):
            ids, types = (torch.tensor([part]) for part in task.encoded[number])
            with torch.no_grad():
                found = theirs.eval()(input_ids=ids, token_type_ids=types)
            if items is LABELS:
                logits = refq_fast.linear(pooled[row], params["classifier.weight"], params["classifier.bias"])
                assert np.abs(logits - found.logits[0].numpy()).max() <= 1e-5
            else:
                expected = found.last_hidden_state[0].numpy()
                assert np.abs(hidden[row, : len(expected)] - expected).max() <= 1e-5


def test_codebooks_are_refused(tmp_path):
    out = tuned(tmp_path, "bert", SCORES, bits=3)
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        transformers.AutoModel.from_pretrained(out)
