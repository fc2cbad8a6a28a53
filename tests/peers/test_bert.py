"""BERT and ALBERT beside transformers: random models of several shapes, read from the directories that it writes."""

import os

import numpy as np
import pytest

from refq.jobs.encoder import encode_texts, load_encoder, mean_pooled, states
from tests.files.encoders import WORDS, write_tokenizer
from tests.support import both

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]  # their warnings are theirs
torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

SIZES = {"vocab_size": 61, "max_position_embeddings": 40, "num_hidden_layers": 3}
SMALL = SIZES | {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
ODD = SIZES | {"hidden_size": 30, "intermediate_size": 37, "num_attention_heads": 2, "num_hidden_layers": 1}
WIDE = SIZES | {"hidden_size": 96, "intermediate_size": 200, "num_attention_heads": 3, "type_vocab_size": 3}
MODELS = {
    "bert": ("Bert", "Model", SMALL),
    "bert-odd": ("Bert", "Model", ODD | {"hidden_act": "gelu_new"}),
    "bert-wide": ("Bert", "Model", WIDE | {"layer_norm_eps": 1e-5}),
    "bert-classifier": ("Bert", "ForSequenceClassification", SMALL | {"num_labels": 3}),
    "bert-masked": ("Bert", "ForMaskedLM", SMALL | {"hidden_act": "gelu_pytorch_tanh"}),
    "albert": ("Albert", "Model", SMALL | {"embedding_size": 12}),
    "albert-gelu": ("Albert", "Model", ODD | {"embedding_size": 7, "hidden_act": "gelu", "num_hidden_layers": 4}),
    "albert-same-width": ("Albert", "Model", WIDE | {"embedding_size": 96}),
    "albert-classifier": ("Albert", "ForSequenceClassification", SMALL | {"embedding_size": 12}),
    "albert-masked": ("Albert", "ForMaskedLM", SMALL | {"embedding_size": 12}),
}


@both
@pytest.mark.parametrize("name", MODELS)
def test_states(tmp_path, engine, name):
    family, head, sizes = MODELS[name]
    theirs = _random_model(family, head, sizes)
    theirs.save_pretrained(tmp_path)
    config, params = load_encoder(tmp_path)
    random, B, T = np.random.default_rng(1), 5, 33
    tokens, types = random.integers(0, 61, (B, T)), random.integers(0, sizes.get("type_vocab_size", 2), (B, T))
    mask = np.arange(T) < np.array([[T], [1], [20], [7], [32]])
    hidden, pooled = engine.bert_forward(params, tokens, mask, config, None, types)
    body = getattr(theirs, theirs.base_model_prefix, theirs)
    with torch.no_grad():
        inputs = {"input_ids": tokens, "attention_mask": mask.astype(int), "token_type_ids": types}
        expected = body(**{key: torch.from_numpy(value) for key, value in inputs.items()})
    assert np.abs(hidden - expected.last_hidden_state.numpy())[mask].max() <= 1e-5
    assert (pooled is None) == (expected.pooler_output is None)
    if pooled is not None:
        assert np.abs(pooled - expected.pooler_output.numpy()).max() <= 1e-5
    if head == "ForSequenceClassification":
        np.testing.assert_array_equal(params["classifier.weight"], theirs.classifier.weight.detach().numpy())


def test_pairs_cut_and_padded_as_they_do(tmp_path):
    _random_model("Bert", "Model", SMALL | {"max_position_embeddings": 9}).save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    settings = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"), **settings)
    random = np.random.default_rng(3)
    texts = [tuple(" ".join(random.choice(WORDS[4:], n)) for n in random.integers(0, 9, 2)) for _ in range(50)]
    config, _ = load_encoder(tmp_path)
    expected = theirs(
        [a for a, _ in texts], [b for _, b in texts], truncation=True, max_length=9, return_token_type_ids=True
    )
    ours = encode_texts(tmp_path, config, texts)
    assert [ids for ids, _ in ours] == expected["input_ids"]
    assert [list(types) for _, types in ours] == expected["token_type_ids"]


@both
def test_a_real_model(engine):
    """all-MiniLM-L6-v2 where REFQ_MINILM names its directory."""
    folder = os.environ.get("REFQ_MINILM")
    if not folder:
        pytest.skip("REFQ_MINILM is not set: no real encoder to test on")
    texts = [
        f"A {a} {b} the {c}." for a in ("man", "child") for b in ("sees", "forgets") for c in ("sea", "unexpected")
    ]
    texts += ["Short.", ("A pair, the first half of it,", "and the second.")]
    model = load_encoder(folder)
    encoded = encode_texts(folder, model[0], texts)
    theirs = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    for numbers, mask, hidden, pooled in states(engine, model, encoded):
        for row, number in enumerate(numbers):
            ids, types = (torch.tensor([part]) for part in encoded[number])
            with torch.no_grad():
                expected = theirs(input_ids=ids, token_type_ids=types)
            length = ids.shape[1]
            assert np.abs(hidden[row, :length] - expected.last_hidden_state[0].numpy()).max() <= 1e-5
            assert np.abs(pooled[row] - expected.pooler_output[0].numpy()).max() <= 1e-5
            mean = expected.last_hidden_state[0].mean(dim=0).numpy()
            assert np.abs(mean_pooled(hidden, mask)[row] - mean).max() <= 1e-5


def _random_model(family, head, sizes):
    torch.manual_seed(7)
    config = getattr(transformers, f"{family}Config")(**sizes, attn_implementation="eager")
    model = getattr(transformers, f"{family}{head}")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # the norms' weights and all biases too
            parameter.copy_(torch.randn_like(parameter) * 0.2 + (0.5 if parameter.ndim == 1 else 0))
    return model
