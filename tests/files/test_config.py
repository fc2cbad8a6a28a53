"""refq.files.config and rotary: what is read, what is refused by name."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refq.errors import CheckpointError
from refq.files.config import read_config
from tests.files.models import CONFIG, write_config

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4,
    "original_max_position_embeddings": 32,
}
READ3 = LLAMA3 | {"high_freq_factor": 4.0}
MISTRAL = {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": None}
QWEN2 = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}


def read(tmp_path, **changes):
    return read_config(write_config(tmp_path / "model", **changes))


def test_every_key_and_the_defaults_of_transformers(tmp_path):
    assert read(tmp_path, num_key_value_heads=..., tie_word_embeddings=...) == {
        "model_type": "llama",
        "vocab_size": 24,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 4,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "attention_output_bias": False,
        "mlp_bias": False,
        "bos_token_id": 1,
        "eos_token_ids": [2],
        "quantization": None,
    }


def test_stories260k(data):
    config = read_config(data / "models" / "stories260K" / "config.json")
    assert (config["hidden_size"], config["num_key_value_heads"], config["head_dim"]) == (64, 4, 8)
    assert (config["rms_norm_eps"], config["rope_theta"], config["tie_word_embeddings"]) == (1e-5, 10000.0, True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"num_key_value_heads": None}, {"num_key_value_heads": 4}),
        ({"max_position_embeddings": ...}, {"max_position_embeddings": 2048}),
        ({"head_dim": None}, {"head_dim": 4}),
        ({"head_dim": 6}, {"head_dim": 6}),
        ({"attention_bias": True}, {"attention_bias": True, "attention_output_bias": True}),
        ({"mlp_bias": True}, {"mlp_bias": True}),
        ({"eos_token_id": [3, 4]}, {"eos_token_ids": [3, 4]}),
        ({"eos_token_id": None, "bos_token_id": None}, {"eos_token_ids": [], "bos_token_id": None}),
        ({"model_type": ...}, {"model_type": "llama"}),
        ({"architectures": ...}, {"model_type": "llama"}),
        ({"rope_theta": 500000}, {"rope_theta": 500000.0}),
        ({"rope_theta": None}, {"rope_theta": 10000.0}),
        ({"hidden_act": "silu", "pretraining_tp": 1, "use_cache": True, "transformers_version": "4"}, {}),
        ({"partial_rotary_factor": 1}, {}),
        ({"quantization_config": {"a": 1}}, {"quantization": {"a": 1}}),
        (MISTRAL, {"model_type": "mistral", "attention_bias": False, "attention_output_bias": False}),
        (MISTRAL | {"sliding_window": 64}, {"model_type": "mistral"}),
        (MISTRAL | {"num_attention_heads": 8, "num_key_value_heads": ...}, {"num_key_value_heads": 8}),
        (MISTRAL | {"max_position_embeddings": ...}, {"max_position_embeddings": 131072}),
        (QWEN2, {"attention_bias": True, "attention_output_bias": False, "mlp_bias": False, "bos_token_id": None}),
        (QWEN2 | {"use_sliding_window": False, "sliding_window": 8, "max_window_layers": 1}, {"eos_token_ids": []}),
        (QWEN2 | {"layer_types": ["full_attention"] * 2}, {"model_type": "qwen2"}),
        (QWEN2 | {"max_position_embeddings": ...}, {"max_position_embeddings": 32768}),
    ],
)
def test_accepted(changes, expected, tmp_path):
    assert expected.items() <= read(tmp_path, **changes).items()


@pytest.mark.parametrize(
    ("changes", "theta", "scaling"),
    [
        ({"rope_scaling": None, "rope_theta": 1e6}, 1e6, None),
        ({"rope_scaling": {"rope_type": "default"}}, 1e4, None),
        ({"rope_scaling": LLAMA3, "rope_theta": 5e5}, 5e5, READ3),
        ({"rope_scaling": {"type": "llama3"} | {k: v for k, v in LLAMA3.items() if k != "rope_type"}}, 1e4, READ3),
        ({"rope_scaling": LLAMA3 | {"type": "llama3"}}, 1e4, READ3),
        ({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}, 5e5, None),
        ({"rope_parameters": {"rope_theta": 5e5, "partial_rotary_factor": 1.0}}, 5e5, None),
        ({"rope_parameters": LLAMA3 | {"rope_theta": 5e5}}, 5e5, READ3),
        ({"rope_parameters": LLAMA3, "rope_theta": 5e5}, 5e5, READ3),
        ({"rope_parameters": LLAMA3 | {"rope_theta": 5e5}, "rope_theta": 500000, "rope_scaling": LLAMA3}, 5e5, READ3),
        ({"rope_parameters": LLAMA3, "rope_scaling": None}, 1e4, READ3),
        (
            {"rope_scaling": {k: v for k, v in LLAMA3.items() if k != "original_max_position_embeddings"}},
            1e4,
            READ3 | {"original_max_position_embeddings": 64},
        ),
    ],
)
def test_both_spellings_of_the_rotary_settings(changes, theta, scaling, tmp_path):
    config = read(tmp_path, **changes)
    assert (config["rope_theta"], config["rope_scaling"]) == (theta, scaling)


# changes to a good config, and what the sentence must say
REFUSED = [
    *(({key: ...}, f"{key} is missing") for key in ("vocab_size", "hidden_size", "intermediate_size")),
    *(({key: ...}, f"{key} is missing") for key in ("num_hidden_layers", "num_attention_heads")),
    *(
        ({"hidden_size": value}, "hidden_size is")
        for value in (None, "16", 16.0, True, [16], {}, 0, -16, 2**24 + 16, 2**31, 10**400, 1e30)
    ),
    ({"vocab_size": 0}, "vocab_size is 0"),
    ({"vocab_size": 2**31}, "1..16777216"),
    ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
    ({"num_hidden_layers": 2**31}, "1..4096"),
    ({"num_attention_heads": 3}, "num_attention_heads=3 does not divide hidden_size=16"),
    ({"num_key_value_heads": 3}, "num_key_value_heads=3 does not divide num_attention_heads=4"),
    ({"num_key_value_heads": 8}, "num_key_value_heads=8 does not divide num_attention_heads=4"),
    ({"num_key_value_heads": 0}, "num_key_value_heads is 0"),
    ({"num_key_value_heads": True}, "num_key_value_heads is True"),
    ({"head_dim": 0}, "head_dim is 0"),
    ({"head_dim": 5}, "head_dim is 5; an even number"),
    ({"head_dim": 4.0}, "head_dim is 4.0"),
    ({"head_dim": 2**23}, "with all 4 heads"),
    ({"max_position_embeddings": None}, "max_position_embeddings is None"),
    ({"max_position_embeddings": 2**31}, "max_position_embeddings is 2147483648"),
    *(({"rms_norm_eps": value}, "rms_norm_eps is") for value in (0, -1e-6, "1e-6", None, True, 1.0)),
    *(
        ({key: value}, f"{key} is")
        for key in ("tie_word_embeddings", "attention_bias", "mlp_bias")
        for value in (0, "no")
    ),
    ({"bos_token_id": 24}, "bos_token_id holds 24; an integer of 0..23"),
    ({"bos_token_id": -1}, "bos_token_id holds -1"),
    ({"bos_token_id": [1, 2]}, "bos_token_id is [1, 2]; one token"),
    ({"eos_token_id": [2, 99]}, "eos_token_id holds 99"),
    ({"eos_token_id": True}, "eos_token_id holds True"),
    ({"eos_token_id": "</s>"}, "eos_token_id holds '</s>'"),
    ({"eos_token_id": [[2]]}, "eos_token_id holds [2]"),
    ({"architectures": ["GemmaForCausalLM"]}, "architectures is ['GemmaForCausalLM']"),
    ({"architectures": ["LlamaModel"]}, "architectures is ['LlamaModel']"),
    ({"architectures": ["LlamaForCausalLM", "X"]}, "architectures is"),
    ({"architectures": []}, "architectures is []"),
    ({"architectures": "LlamaForCausalLM"}, "architectures is 'LlamaForCausalLM'"),
    ({"architectures": [{}]}, "architectures is [{}]"),
    ({"architectures": ..., "model_type": ...}, "architectures is None"),
    ({"architectures": ..., "model_type": "gpt2"}, "model_type gpt2"),
    ({"architectures": ..., "model_type": {}}, "architectures is None"),
    ({"model_type": "mistral"}, "model_type 'mistral' contradicts"),
    ({"hidden_act": "gelu"}, "hidden_act is 'gelu'; only \"silu\" is supported"),
    ({"hidden_act": 1}, "hidden_act is 1"),
    ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
    ({"partial_rotary_factor": True}, "partial_rotary_factor is True"),
    ({"quantization_config": []}, "quantization_config is []"),
    ({"compression_config": {}}, "compression_config is {}"),
    ({"quantization": [4]}, "quantization is [4]; an object is needed"),
    ({"quantization": {"bits": 4}, "quantization_config": {"bits": 8}}, "quantization is not quantization_config too"),
    ({"quantization": {"bits": 4, "quant_method": "awq"}}, "quantization is not quantization_config too"),
    (MISTRAL | {"sliding_window": 63}, "sliding_window is 63"),
    (MISTRAL | {"sliding_window": ..., "max_position_embeddings": ...}, "sliding_window is 4096"),
    (MISTRAL | {"sliding_window": "no"}, "sliding_window is 'no'"),
    (MISTRAL | {"attention_bias": True}, "attention_bias is True"),
    (MISTRAL | {"mlp_bias": True}, "mlp_bias is True"),
    (QWEN2 | {"use_sliding_window": True}, "use_sliding_window is True"),
    (QWEN2 | {"attention_bias": False}, "attention_bias is False"),
    (QWEN2 | {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types is"),
    (QWEN2 | {"layer_types": 3}, "layer_types is 3"),
    ({"rope_theta": "10000"}, "rope_theta is '10000'"),
    ({"rope_theta": 0}, "rope_theta is 0"),
    ({"rope_theta": -1.0}, "rope_theta is -1.0"),
    ({"rope_theta": True}, "rope_theta is True"),
    ({"rope_theta": 10**400}, "rope_theta is"),
    ({"rope_scaling": []}, "rope_scaling is []"),
    *(
        ({"rope_scaling": {"type": k, "factor": 2.0}}, f"rope_type '{k}'")
        for k in ("linear", "dynamic", "yarn", "longrope")
    ),
    ({"rope_scaling": {"rope_type": 3}}, "one rope_type is needed"),
    ({"rope_scaling": LLAMA3 | {"type": "linear"}}, "one rope_type is needed"),
    ({"rope_scaling": {"rope_type": "default", "factor": 2.0}}, "has 'factor'"),
    ({"rope_scaling": LLAMA3 | {"beta_fast": 2}}, "has 'beta_fast'"),
    ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "has 'partial_rotary_factor'"),
    ({"rope_parameters": {"full_attention": LLAMA3}}, "has 'full_attention'"),
    *(({"rope_scaling": {k: v for k, v in LLAMA3.items() if k != key}}, f"has no {key}") for key in list(LLAMA3)[1:4]),
    ({"rope_scaling": LLAMA3 | {"factor": "8"}}, "rope_scaling.factor is '8'"),
    ({"rope_scaling": LLAMA3 | {"factor": 0}}, "rope_scaling.factor is 0"),
    ({"rope_scaling": LLAMA3 | {"low_freq_factor": 4.0}}, "low_freq_factor 4.0; less than"),
    ({"rope_scaling": LLAMA3 | {"original_max_position_embeddings": 32.0}}, "original_max_position_embeddings is 32.0"),
    ({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}}, "contradict each other"),
    ({"rope_scaling": LLAMA3, "rope_parameters": {"rope_type": "default"}}, "contradict each other"),
    ({"rope_scaling": LLAMA3, "rope_parameters": LLAMA3 | {"factor": 4.0}}, "contradict each other"),
    ({"rope_scaling": {"rope_type": "default"}, "rope_parameters": LLAMA3}, "contradict each other"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[f"{n}-{m[:30]}" for n, (_, m) in enumerate(REFUSED)])
def test_refused(changes, message, tmp_path):
    path = write_config(tmp_path / "model", **changes)
    with pytest.raises(CheckpointError) as refusal:
        read_config(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert message in str(refusal.value)
    assert len(str(refusal.value)) < 700 + len(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "a JSON list; an object is needed"),
        (b"null", "a JSON NoneType"),
        (b"\xff", "byte 0 is not UTF-8"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"hidden_size": 1, "hidden_size": 1}', "the key 'hidden_size' appears twice"),
        (b'{"a": {"b": 1, "b": 2}}', "the key 'b' appears twice"),
        (b'{"rope_theta": NaN}', "NaN is not finite"),
        (b'{"rope_theta": -Infinity}', "-Infinity is not finite"),
        (b'{"rope_theta": 1e999}', "1e999 is not finite"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"a": ' + b"[" * 90_000 + b"]" * 90_000 + b"}", "nested too deeply"),
        (b'{"a": ' * 50_000 + b"1" + b"}" * 50_000, "nested too deeply"),
        (b'{"a": [' + b"[]," * 200_000 + b"[]]}", "more than 100000 JSON arrays"),
        (b'{"a": "' + b"x" * 2**20 + b'"}', "at most 1048576 are read"),
        (b'{"a": 1}\0', "not valid JSON"),
    ],
)
def test_not_json(content, message, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as refusal:
        read_config(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert message in str(refusal.value)


def test_missing(tmp_path):
    with pytest.raises(CheckpointError, match="config.json: the file is missing"):
        read_config(tmp_path / "config.json")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from([2**40, 0, 1, "llama3"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*LLAMA3, "type"]), inner, max_size=4),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        *CONFIG,
        "head_dim",
        "rope_theta",
        "rope_scaling",
        "rope_parameters",
        "eos_token_id",
        "layer_types",
        "sliding_window",
    ]
    + ["hidden_act", "rms_norm_eps", "quantization_config", "attention_bias", "use_sliding_window"]
)


@settings(max_examples=500)
@given(base=st.sampled_from([{}, MISTRAL, QWEN2]), changes=st.dictionaries(KEYS, JSON, max_size=3))
def test_any_json_value_is_read_or_refused(base, changes, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "config.json"
    path.write_text(json.dumps(copy.deepcopy(CONFIG) | base | changes))
    try:
        config = read_config(path)
    except CheckpointError:
        return
    assert config["hidden_size"] % config["num_attention_heads"] == 0
    assert all(type(config[key]) is int for key in config if key.startswith("num_") or key.endswith("_size"))
