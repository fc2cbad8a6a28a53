"""refq.files.compressed_tensors: the configuration and the tensors of pack-quantized."""

import copy
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refq.errors import FormatError
from refq.files.checkpoint import linear_names
from refq.files.compressed_tensors import Scheme, packed_tensors, parse_quantization_config, quantization_config
from refq.files.input_activations import Inputs

LAYERS = [
    *linear_names(
        {
            "vocab_size": 8,
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 12,
            "num_attention_heads": 1,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "tie_word_embeddings": True,
            "attention_bias": True,
            "attention_output_bias": False,
            "mlp_bias": False,
        }
    ),
    "lm_head",
]
G32, CHANNEL = Scheme(4, True, "group", 32), Scheme(4, True, "channel", None)
SCHEMES = [
    Scheme(bits, symmetric, strategy, 32 if strategy == "group" else None)
    for bits in range(2, 9)
    for symmetric in (True, False)
    for strategy in ("tensor", "channel", "group")
]
SCHEMES += [G32._replace(inputs=Inputs(bits, strategy)) for bits in (2, 8, 16) for strategy in ("token", "tensor")]


def test_the_names_are_those_of_the_blocks():
    assert len(LAYERS) == 12 * 7 + 1
    assert LAYERS[:2] == ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj"]
    assert LAYERS[6] == "model.layers.0.mlp.down_proj"


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_what_we_write_we_read(scheme):
    raw = json.loads(json.dumps(quantization_config([(scheme, ["Linear"])], ["lm_head"])))
    assert parse_quantization_config(raw, LAYERS) == dict.fromkeys(LAYERS[:-1], scheme)


def test_the_minimal_config():
    assert quantization_config([(G32, ["Linear"])], ["lm_head"]) == {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {
                    "num_bits": 4,
                    "type": "int",
                    "symmetric": True,
                    "strategy": "group",
                    "group_size": 32,
                },
                "input_activations": None,
                "output_activations": None,
            }
        },
        "ignore": ["lm_head"],
    }


# dtypes and shapes as compressed-tensors 0.20.0 itself made them for a Linear of 16 inputs and 5 outputs, 4 bits
@pytest.mark.parametrize(
    ("scheme", "scale", "zero_point"),
    [
        (Scheme(4, False, "tensor", None), (1,), (("I8",), (1,))),
        (Scheme(4, False, "channel", None), (5, 1), (("I32",), (1, 1))),
        (Scheme(4, False, "group", 8), (5, 2), (("I32",), (1, 2))),
        (Scheme(4, True, "group", 8), (5, 2), None),
    ],
)
def test_shapes_of_the_library(scheme, scale, zero_point):
    expected = {
        "x.weight_packed": (("I32",), (5, 2)),
        "x.weight_scale": (("F32", "F16", "BF16"), scale),
        "x.weight_shape": (("I64",), (2,)),
    }
    assert packed_tensors("x", (5, 16), scheme) == expected | (
        {"x.weight_zero_point": zero_point} if zero_point else {}
    )


# as the library writes the arguments, and as it makes the parameters of a Linear, with 8 bits and with 16
@pytest.mark.parametrize(
    ("inputs", "args", "tensors"),
    [
        (Inputs(8, "token"), {"strategy": "token", "dynamic": True}, {}),
        (
            Inputs(4, "tensor"),
            {"strategy": "tensor", "dynamic": False},
            {"scale": ("F32", "F16", "BF16"), "zero": "I8"},
        ),
        (
            Inputs(16, "tensor"),
            {"strategy": "tensor", "dynamic": False},
            {"scale": ("F32", "F16", "BF16"), "zero": "I16"},
        ),
    ],
)
def test_inputs(inputs, args, tensors):
    scheme = G32._replace(inputs=inputs)
    [group] = quantization_config([(scheme, ["Linear"])], [])["config_groups"].values()
    assert group["input_activations"] == {"num_bits": inputs.bits, "type": "int", "symmetric": False} | args
    assert group["format"] == "pack-quantized"
    found = {name: value for name, value in packed_tensors("x", (5, 32), scheme).items() if "input" in name}
    named = (
        {"x.input_scale": (tensors["scale"], (1,)), "x.input_zero_point": ((tensors["zero"],), (1,))} if tensors else {}
    )
    assert found == named


@pytest.mark.parametrize(("bits", "words"), [(2, 11), (3, 17), (4, 22), (5, 27), (6, 33), (7, 38), (8, 43)])
def test_the_words_of_172_codes_are_dense(bits, words):
    tensors = packed_tensors("x", (172, 172), Scheme(bits, False, "channel", None))
    assert tensors["x.weight_packed"][1] == (172, words)
    assert tensors["x.weight_zero_point"][1] == (words, 1)


def test_a_group_that_does_not_divide():
    with pytest.raises(FormatError, match=r"config.json: group_size=32 does not divide the 172 inputs of layer a\.b"):
        packed_tensors("a.b", (64, 172), G32, "config.json")


Q0, DOWN11 = "model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj"


@pytest.mark.parametrize(
    ("groups", "ignore", "expected"),
    [
        # exact name before pattern before class, wherever they stand
        ([(G32, ["Linear"]), (CHANNEL, [Q0])], [], {Q0: CHANNEL, DOWN11: G32, "lm_head": G32}),
        ([(CHANNEL, ["re:.*down_proj"]), (G32, ["Linear"])], [], {Q0: G32, DOWN11: CHANNEL}),
        ([(G32, ["re:.*q_proj"]), (CHANNEL, [Q0])], [], {Q0: CHANNEL, DOWN11: None}),
        ([(G32, ["Linear"])], ["lm_head", "re:.*mlp"], {Q0: G32, DOWN11: None, "lm_head": None}),
        ([(G32, ["Linear"])], ["Linear"], {Q0: None, DOWN11: None}),
        ([(G32, [Q0])], [], {Q0: G32, DOWN11: None, "lm_head": None}),
        # patterns match from the beginning and need not reach the end
        ([(G32, ["re:q_proj"])], [], {Q0: None}),
        ([(G32, ["re:model"])], ["re:model.embed_tokens"], {Q0: G32, "lm_head": None}),
        ([(G32, [r"re:.*layers\.1\.mlp"])], [], {DOWN11: None, "model.layers.1.mlp.down_proj": G32}),
        ([(G32, [r"re:^model\.layers\.[0-9]+\.(?:self_attn|mlp)\.(q|down)_proj$"])], [], {Q0: G32, DOWN11: G32}),
        ([(G32, [r"re:.*\d\.mlp\.[a-o_]+wn_proj"])], [], {Q0: None, DOWN11: G32}),
        # two patterns of one scheme
        ([(G32, ["re:.*q_proj", "re:.*layers.0"])], [], {Q0: G32}),
        ([(G32, ["Linear"])], ["no.such.layer", "re:.*vision"], {Q0: G32}),
    ],
)
def test_which_layer_takes_which_scheme(groups, ignore, expected):
    raw = quantization_config(groups, ignore)
    found = parse_quantization_config(raw, LAYERS)
    assert {name: found.get(name) for name in expected} == expected
    assert list(found) == [name for name in LAYERS if name in found]


@pytest.mark.parametrize(
    "args",
    [
        {"strategy": None, "group_size": 32},
        {"strategy": "group", "group_size": 32, "actorder": None, "observer": "mse", "observer_kwargs": {}},
        {"group_size": 32, "actorder": "weight", "scale_dtype": None, "zp_dtype": "torch.int8"},
        {"group_size": 32, "actorder": "static", "dynamic": False, "block_structure": None},
        {"group_size": 32, "actorder": False},
    ],
)
def test_the_spellings_of_other_releases(args):
    raw = quantization_config([(G32, ["Linear"])], [])
    raw["config_groups"]["group_0"]["weights"] = {"num_bits": 4, "type": "int", "symmetric": True} | args
    raw["config_groups"]["group_0"]["format"] = "pack-quantized"
    raw |= {"version": "0.12.2", "kv_cache_scheme": None, "global_compression_ratio": 1.5, "transform_config": {}}
    raw |= {"sparsity_config": {"format": "dense", "ignore": []}, "moe_sparsity_config": None, "ignore": None}
    assert set(parse_quantization_config(raw, LAYERS).values()) == {G32}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"observer": "minmax", "observer_kwargs": {"averaging_constant": 0.01}, "zp_dtype": "torch.int8"},
        {"actorder": None, "group_size": None, "block_structure": None, "scale_dtype": None, "observer": None},
    ],
)
def test_inputs_in_the_spellings_of_other_releases(more):
    for inputs in (Inputs(8, "token"), Inputs(8, "tensor")):
        raw = quantization_config([(G32._replace(inputs=inputs), ["Linear"])], [])
        raw["config_groups"]["group_0"]["input_activations"] |= more
        assert parse_quantization_config(raw, LAYERS)["lm_head"].inputs == inputs
    static = changed("group", input_activations={"symmetric": False} | more)
    assert parse_quantization_config(static, LAYERS)[Q0].inputs == Inputs(8, "tensor")


def test_strategies_that_follow_from_the_group_size():
    for size, strategy in ((None, "tensor"), (-1, "channel")):
        raw = quantization_config([(G32, ["Linear"])], [])
        raw["config_groups"]["group_0"]["weights"] = {"num_bits": 8, "group_size": size}
        assert parse_quantization_config(raw, LAYERS)["lm_head"] == Scheme(8, True, strategy, None)


def changed(where, **changes):
    """A good config with changes at the top, in its group or in its weights; ... takes a key away."""
    raw = copy.deepcopy(quantization_config([(G32, ["Linear"])], ["lm_head"]))
    group = raw["config_groups"]["group_0"]
    place = {"top": raw, "group": group, "weights": group["weights"]}[where]
    place.update(changes)
    for key in [key for key, value in changes.items() if value is ...]:
        del place[key]
    return raw


REFUSED = [
    (changed("top", quant_method="gptq"), "quant_method is 'gptq'"),
    (changed("top", quant_method=...), "quant_method is None"),
    (changed("top", format="int-quantized"), "format is 'int-quantized'"),
    (changed("top", quantization_status="frozen"), "quantization_status is 'frozen'"),
    (changed("top", kv_cache_scheme={"num_bits": 8}), "kv_cache_scheme is"),
    (changed("top", sparsity_config={"format": "sparse-24"}), "sparsity_config is"),
    (changed("top", transform_config=[1]), "transform_config is"),
    (changed("top", config_groups={}), "config_groups is {}"),
    (changed("top", config_groups=[]), "config_groups is []"),
    (changed("top", config_groups={"W4A16": ["Linear"]}), "config group 'W4A16' is ['Linear']"),
    (changed("top", ignore="lm_head"), "ignore is 'lm_head'"),
    (changed("top", ignore=[1]), "ignore is [1]"),
    (changed("top", ignore=["re:(a+)+"]), "ignore has the pattern 're:(a+)+'"),
    (changed("group", extra=1), "'extra'"),
    (changed("group", targets="Linear"), "targets is 'Linear'"),
    (changed("group", targets=...), "targets is None"),
    (changed("group", targets=["Embedding"]), "'Embedding' is no linear layer"),
    (changed("group", targets=["model.layers.12.mlp.up_proj"]), "is no linear layer"),
    (changed("group", targets=["model.embed_tokens"]), "quantized embeddings"),
    (changed("group", targets=["re:.*"]), "quantized embeddings"),
    (changed("group", input_activations={"num_bits": 8}), "input_activations with symmetric True"),
    *(
        (changed("group", input_activations={"symmetric": False} | args), words)
        for args, words in (
            ({"num_bits": 17}, "input_activations with num_bits 17"),
            ({"num_bits": 1}, "input_activations with num_bits 1"),
            ({"num_bits": 8.0}, "input_activations with num_bits 8.0"),
            ({"num_bits": True}, "input_activations with num_bits True"),
            ({"type": "float"}, "input_activations with type 'float'"),
            ({"symmetric": 0}, "input_activations with symmetric 0"),
            ({"symmetric": None}, "input_activations with symmetric None"),
            ({"strategy": "token"}, "input_activations with strategy 'token', dynamic False"),
            ({"strategy": "tensor", "dynamic": True}, "strategy 'tensor', dynamic True"),
            ({"strategy": "token", "dynamic": 1}, "strategy 'token', dynamic 1"),
            ({"strategy": "token", "dynamic": "local"}, "strategy 'token', dynamic 'local'"),
            ({"strategy": "group", "group_size": 32}, "input_activations with group_size 32"),
            ({"strategy": "channel"}, "strategy 'channel'"),
            ({"strategy": ["token"], "dynamic": True}, "strategy ['token']"),
            ({"actorder": "weight"}, "input_activations with actorder 'weight'"),
            ({"block_structure": [1, 2]}, "input_activations with block_structure"),
            ({"scale_dtype": "torch.float8_e4m3fn"}, "input_activations with scale_dtype"),
            ({"extra": 1}, "input_activations {"),
        )
    ),
    (changed("group", input_activations=[]), "input_activations []"),
    (changed("group", input_activations=False), "input_activations False"),
    (changed("group", output_activations={"num_bits": 8}), "output_activations"),
    (changed("group", format="int-quantized"), "format 'int-quantized'"),
    (changed("group", weights=None), "weights None"),
    (changed("weights", extra=1), "'extra'"),
    (changed("weights", num_bits=0), "num_bits 0"),
    (changed("weights", num_bits=1), "num_bits 1"),
    (changed("weights", num_bits=33), "num_bits 33"),
    (changed("weights", num_bits=4.0), "num_bits 4.0"),
    (changed("weights", num_bits=True), "num_bits True"),
    (changed("weights", symmetric=1), "symmetric 1"),
    (changed("weights", type="float"), "type 'float'"),
    (changed("weights", dynamic=True), "dynamic True"),
    (changed("weights", dynamic=0), "dynamic 0"),
    (changed("weights", block_structure=[1, 2]), "block_structure"),
    *((changed("weights", actorder=value), f"actorder {value!r}") for value in ("group", "dynamic", True, 0, {})),
    (changed("weights", group_size=0), "group_size 0"),
    (changed("weights", group_size=-2), "group_size -2"),
    (changed("weights", group_size=2**40), "group_size 1099511627776"),
    (changed("weights", group_size="32"), "group_size '32'"),
    (changed("weights", group_size=True), "group_size True"),
    (changed("weights", group_size=...), "strategy 'group', group_size None"),
    (changed("weights", strategy="channel"), "strategy 'channel', group_size 32"),
    (changed("weights", strategy="block"), "strategy 'block'"),
    (changed("weights", strategy=[]), "strategy []"),
    (changed("top", ignore={}), "ignore is {}"),
    (changed("weights", strategy=["group"]), "strategy ['group']"),
    (changed("weights", num_bits=3) | {"version": "0.17.0"}, "compressed-tensors 0.17.0 did not yet pack"),
    (changed("weights", num_bits=5) | {"version": "0.9.4"}, "compressed-tensors 0.9.4 did not yet pack"),
    (quantization_config([(G32, ["Linear"]), (CHANNEL, ["Linear"])], []), "'Linear' stands in another group too"),
    (quantization_config([(G32, ["re:.*q_proj"]), (CHANNEL, ["re:.*self_attn"])], []), "patterns of different schemes"),
    (quantization_config([(G32, [f"re:a{n}" for n in range(33)])], []), "33 patterns; at most 32"),
]


@pytest.mark.parametrize(("raw", "message"), REFUSED, ids=[f"{n}-{m[:30]}" for n, (_, m) in enumerate(REFUSED)])
def test_refused(raw, message):
    with pytest.raises(FormatError) as refusal:
        parse_quantization_config(raw, LAYERS, "model/config.json")
    assert str(refusal.value).startswith("model/config.json: ")
    assert message in str(refusal.value)


def test_dense_widths_are_read_from_0_18_on_and_where_no_version_is_given():
    for version in ("0.18.0", "0.20.1.dev3", "1.0", None, ...):
        raw = changed("weights", num_bits=3) | {"version": version}
        assert parse_quantization_config(raw, LAYERS)[Q0].bits == 3


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b",
        "(.*)*",
        "(a|a)*",
        ".*.*.*.*.*x",
        "(.|.)(.|.)",
        "(a|b)" * 5,
        "(?!x).*",
        "(?<name>x)",
        r"(.)\1",
        "a{1000}",
        "a?a?",
        "a**",
        "*",
        "[z-a]",
        "[a",
        "(a",
        "(a(b))",
        "[[a]]",
        "[a--b]",
        "",
        "a" * 201,
        "é*\n",
    ],
)
def test_patterns_that_could_run_away_or_are_none(pattern):
    start = time.process_time()
    with pytest.raises(FormatError, match="has the pattern"):
        parse_quantization_config(changed("top", ignore=["re:" + pattern]), LAYERS)
    assert time.process_time() - start < 0.1


def test_the_slowest_pattern_of_a_large_model_ends():
    layers = [name.replace("layers.0", f"layers.{n}") for n in range(126) for name in LAYERS[:7]]
    start = time.process_time()
    assert parse_quantization_config(changed("top", ignore=["re:.*.*.*.*z"]), [*layers, "lm_head"])
    assert time.process_time() - start < 10


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 999)
    | st.floats()
    | st.sampled_from(["group", "Linear", "re:.*q", "re:["]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["targets", "weights"]), inner),
    max_leaves=5,
)
TOP = ["quant_method", "format", "config_groups", "ignore", "kv_cache_scheme", "sparsity_config", "version"]
GROUP = ["targets", "weights", "output_activations", "format"]
WEIGHTS = ["num_bits", "type", "symmetric", "strategy", "group_size", "actorder", "dynamic", "observer"]
EDIT = st.one_of(
    *(
        st.tuples(st.just(where), st.dictionaries(st.sampled_from(keys), JSON, min_size=1, max_size=2))
        for where, keys in (("top", TOP), ("group", GROUP), ("weights", WEIGHTS))
    ),
    st.tuples(
        st.just("group"),
        st.fixed_dictionaries(
            {"input_activations": JSON | st.dictionaries(st.sampled_from(WEIGHTS), JSON, max_size=4)}
        ),
    ),
)


@settings(max_examples=400)
@given(EDIT)
def test_any_json_value_is_read_or_refused(edit):
    where, changes = edit
    try:
        schemes = parse_quantization_config(changed(where, **changes), LAYERS)
    except FormatError:
        return
    assert all(isinstance(scheme, Scheme) and 2 <= scheme.bits <= 8 for scheme in schemes.values())


def test_the_library_gives_every_layer_the_same_scheme():
    pytest.importorskip("compressed_tensors", reason="compressed-tensors is not installed in this environment")
    import torch
    from compressed_tensors.quantization import QuantizationConfig
    from compressed_tensors.utils.match import is_match, match_targets

    linear = torch.nn.Linear(1, 1)
    for groups, ignore in (
        ([(G32, ["Linear"]), (CHANNEL, [Q0, "re:.*down_proj"])], ["lm_head"]),
        ([(G32, ["re:.*q_proj", r"re:model\.layers\.1\."]), (CHANNEL, [Q0])], [r"re:.*layers\.(2|3)\."]),
        ([(G32, ["Linear"])], ["Linear"]),
    ):
        raw = quantization_config(groups, ignore)
        theirs = {}
        by_target = {t: g.weights for g in QuantizationConfig(**raw).config_groups.values() for t in g.targets}
        for name in LAYERS:
            matches = match_targets(name, linear, by_target)
            if matches and not is_match(name, linear, ignore):
                args = by_target[matches[0]]
                theirs[name] = Scheme(args.num_bits, args.symmetric, args.strategy, args.group_size)
        assert parse_quantization_config(raw, LAYERS) == theirs
