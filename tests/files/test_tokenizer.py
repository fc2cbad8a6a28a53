"""refq.files.tokenizer: text to ids and back on the two real tokenizers, and what is refused."""

import json
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refq.errors import CheckpointError, FileError, TokenizerError
from refq.files.tokenizer import StreamDecoder, open_tokenizer, special_ids

TEXTS = [
    "",
    " ",
    "Once upon a time, there was a little girl.",
    "  two  spaces \n\n and\tlines\r\n",
    "Grüße, 你好, 👩‍👩‍👧 and \u0000 bytes \u200b",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \u0301\u0301 combining",
]
SIZES = {"stories260K": 512, "llama-tokenizer-32k": 32000}


def tiny(directory, **changes):
    """A tokenizer of words with ids 0..3 and an unknown token."""
    model = {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1, "b": 2, "c": 3}, "unk_token": "[UNK]"}
    raw = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None}
    raw |= {"pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None, "model": model}
    directory.mkdir(exist_ok=True)
    (directory / "tokenizer.json").write_text(json.dumps(raw | changes))
    return directory


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("text", TEXTS)
def test_round_trip(name, text, data):
    tokenizer = open_tokenizer(data / "models" / name, SIZES[name])
    ids = tokenizer.encode(text)
    assert ids[0] == 1
    assert all(type(token) is int for token in ids)
    decoded = tokenizer.decode(ids)
    assert decoded == text
    assert tokenizer.decode(ids, skip_special=False).startswith("<s>")


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("text", TEXTS)
def test_a_stream_gives_the_same_text_in_whole_characters(name, text, data):
    tokenizer = open_tokenizer(data / "models" / name, SIZES[name])
    stream, ids = StreamDecoder(tokenizer), tokenizer.encode(text)
    pieces = [stream.push(token) for token in ids]
    assert "".join(pieces) + stream.flush() == tokenizer.decode(ids)
    assert "\ufffd" not in "".join(pieces)


@pytest.mark.parametrize("name", SIZES)
@settings(max_examples=80)
@given(text=st.text(max_size=30) | st.text("a ▁é你😀\n", max_size=20))
def test_any_text_streams(name, text, data):
    tokenizer = open_tokenizer_once(data / "models" / name, SIZES[name])
    stream, ids = StreamDecoder(tokenizer), tokenizer.encode(text)
    assert "".join(map(stream.push, ids)) + stream.flush() == tokenizer.decode(ids)


@pytest.mark.parametrize("name", SIZES)
@settings(max_examples=150)
@given(ids=st.lists(st.integers(0, 511) | st.integers(3, 258), max_size=30))
def test_any_ids_stream_as_whole_characters(name, ids, data):
    # bytes that are no UTF-8 may be divided otherwise than decode divides them, but no piece ends in half a character
    tokenizer = open_tokenizer_once(data / "models" / name, SIZES[name])
    stream = StreamDecoder(tokenizer)
    pieces = [stream.push(token) for token in ids]
    assert not any(piece.endswith("\ufffd") for piece in pieces)
    text = "".join(pieces) + stream.flush()
    if "\ufffd" not in tokenizer.decode(ids):
        assert text == tokenizer.decode(ids)
    assert stream.flush() == ""


def test_bytes_of_one_character_wait_for_each_other(data):
    tokenizer = open_tokenizer(data / "models" / "stories260K", 512)
    stream = StreamDecoder(tokenizer)
    euro = [3 + byte for byte in "€".encode()]  # <0xE2> <0x82> <0xAC>
    assert [stream.push(token) for token in euro] == ["", "", "€"]
    assert [stream.push(token) for token in euro[:2]] == ["", ""]
    assert stream.flush() == "\ufffd\ufffd"


def test_the_windows_of_a_long_stream_stay_short(data):
    tokenizer = open_tokenizer(data / "models" / "stories260K", 512)
    stream = StreamDecoder(tokenizer)
    for token in tokenizer.encode("Once upon a time " * 300):
        stream.push(token)
        assert len(stream._ids) < 8


@settings(max_examples=80)
@given(text=st.text(max_size=20), broken=st.lists(st.integers(0, 255), max_size=4))
def test_a_byte_level_tokenizer_streams(text, broken, tmp_path_factory):
    tokenizer = byte_level(tmp_path_factory.getbasetemp() / "bytes")
    stream, ids = StreamDecoder(tokenizer), tokenizer.encode(text)
    assert len(ids) == len(text.encode())
    pieces = [stream.push(token) for token in ids]
    assert "".join(pieces) + stream.flush() == text
    pieces = [stream.push(token) for token in broken]
    assert not any(piece.endswith("\ufffd") for piece in pieces)


def byte_level(directory):
    """One token a byte, by the alphabet of GPT-2: printable bytes are themselves, the others start at U+0100."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    part = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    model = {"type": "BPE", "vocab": {letter: byte for byte, letter in letters.items()}, "merges": []}
    return open_tokenizer_once(tiny(directory, model=model, pre_tokenizer=part, decoder=part), 256)


def open_tokenizer_once(directory, size, opened={}):  # noqa: B006
    if directory not in opened:
        opened[directory] = open_tokenizer(directory, size)
    return opened[directory]


def test_truncation_and_padding_of_the_file_are_off(tmp_path):
    truncation = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    padding = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
    padding |= {"pad_type_id": 0, "pad_token": "[UNK]"}
    tokenizer = open_tokenizer(tiny(tmp_path, truncation=truncation, padding=padding), 4)
    assert tokenizer.encode("a b c a") == [1, 2, 3, 1]


def test_a_tokenizer_may_be_smaller_than_the_embedding_but_not_larger(tmp_path):
    assert open_tokenizer(tiny(tmp_path), 100).vocab_size == 100
    assert open_tokenizer(tiny(tmp_path), 4).encode("a b") == [1, 2]
    with pytest.raises(
        TokenizerError, match=r"tokenizer.json: its largest token id is 3; the model has the ids 0\.\.2"
    ):
        open_tokenizer(tiny(tmp_path), 3)
    added = {"id": 4, "content": "<x>", "single_word": False, "lstrip": False, "rstrip": False}
    added |= {"normalized": False, "special": True}
    with pytest.raises(TokenizerError, match="largest token id is 4"):
        open_tokenizer(tiny(tmp_path, added_tokens=[added]), 4)
    assert open_tokenizer(tiny(tmp_path, added_tokens=[added]), 5).token_id("<x>") == 4


def test_ids_with_gaps_are_read_and_shared_ids_refused(tmp_path):
    model = {"type": "WordLevel", "unk_token": "[UNK]"}
    assert open_tokenizer(tiny(tmp_path, model=model | {"vocab": {"[UNK]": 0, "a": 7}}), 8).encode("a") == [7]
    with pytest.raises(TokenizerError, match="tokenizer.json: 3 tokens share 2 ids"):
        open_tokenizer(tiny(tmp_path, model=model | {"vocab": {"[UNK]": 0, "a": 1, "b": 1}}), 8)


def test_ids_outside(data, tmp_path):
    tokenizer = open_tokenizer(data / "models" / "stories260K", 512)
    for ids in ([512], [-1], [1, 2**40]):
        with pytest.raises(TokenizerError, match=r"tokenizer.json: token id -?\d+ is outside the model's 0\.\.511"):
            tokenizer.decode(ids)
    special = {"<b>": {"id": "<b>", "ids": [9], "tokens": ["<b>"]}}
    single = [{"SpecialToken": {"id": "<b>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    processor = {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": special}
    pair = [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]
    tokenizer = open_tokenizer(tiny(tmp_path, post_processor=processor | {"pair": pair}), 4)
    with pytest.raises(TokenizerError, match="token id 9 is outside"):
        tokenizer.encode("a")


def test_text_that_is_no_unicode(data):
    with pytest.raises(TokenizerError, match="tokenizer.json: .* cannot be encoded"):
        open_tokenizer(data / "models" / "stories260K", 512).encode("a\ud800")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is not a tokenizer"),
        (b"{}", "it is not a tokenizer"),
        (b"[]", "it is not a tokenizer"),
        (b"\xff\xfe", "it is not a tokenizer"),
        (b"[" * 100_000, "it is not a tokenizer"),
        (b'{"model": ' * 50_000, "it is not a tokenizer"),
    ],
)
def test_not_a_tokenizer(content, message, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(TokenizerError) as refusal:
        open_tokenizer(tmp_path, 8)
    assert str(refusal.value).startswith(f"{tmp_path / 'tokenizer.json'}: {message}")


@pytest.mark.parametrize(
    "model",
    [
        {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a c"]},
        {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]},
        {"type": "BPE", "vocab": {"a": -1}, "merges": []},
        {"type": "BPE", "vocab": {"a": 2**40}, "merges": []},
        {"type": "BPE", "vocab": [], "merges": []},
        {"type": "Unigram", "vocab": [], "unk_id": 5},
        {"type": "WordLevel", "vocab": {}, "unk_token": "x"},
        {"type": "None"},
        None,
    ],
    ids=str,
)
def test_malformed_models(model, tmp_path):
    with pytest.raises(TokenizerError, match="tokenizer.json: "):
        open_tokenizer(tiny(tmp_path, model=model), 8)


def test_missing_too_large_or_elsewhere(tmp_path):
    with pytest.raises(TokenizerError, match="tokenizer.json: the file is missing"):
        open_tokenizer(tmp_path, 8)
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(2**28 + 1)  # sparse
    with pytest.raises(TokenizerError, match="the file has 268435457 bytes; at most 268435456 are read"):
        open_tokenizer(tmp_path, 8)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "tokenizer.json").symlink_to("../tokenizer.json")
    with pytest.raises(TokenizerError, match="the symbolic link leaves the directory"):
        open_tokenizer(tmp_path / "m", 8)


@settings(max_examples=150)
@given(edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=3))
def test_flipped_bytes(edits, tmp_path_factory):
    directory = tiny(tmp_path_factory.getbasetemp() / "tokenizer")
    content = bytearray((directory / "tokenizer.json").read_bytes())
    for position, value in edits:
        content[position % len(content)] = value
    (directory / "tokenizer.json").write_bytes(content)
    try:
        tokenizer = open_tokenizer(directory, 4)
        tokenizer.decode(tokenizer.encode("a b d"))
    except TokenizerError as refusal:
        message = str(refusal)
    else:
        message = "tokenizer.json"
    assert "tokenizer.json" in message


def settings_file(directory, **content):
    (pathlib.Path(directory) / "generation_config.json").write_text(json.dumps(content))


def test_special_ids(tmp_path):
    config = {"bos_token_id": 1, "eos_token_ids": [2], "vocab_size": 4}
    assert special_ids(tmp_path, config) == (1, [2])
    settings_file(tmp_path, eos_token_id=[2, 3])
    assert special_ids(tmp_path, config) == (1, [2, 3])
    settings_file(tmp_path, eos_token_id=3, bos_token_id=0)
    assert special_ids(tmp_path, config) == (0, [3])
    settings_file(tmp_path, eos_token_id=None)
    assert special_ids(tmp_path, config) == (1, [2])
    for value in (4, -1, "2", True, [2, 4], 1.0):
        settings_file(tmp_path, eos_token_id=value)
        with pytest.raises(CheckpointError, match="generation_config.json: eos_token_id holds"):
            special_ids(tmp_path, config)
    (tmp_path / "generation_config.json").write_text("{")
    with pytest.raises(FileError, match="generation_config.json: it is not valid JSON"):
        special_ids(tmp_path, config)


def test_special_ids_by_their_text(tmp_path):
    config = {"bos_token_id": None, "eos_token_ids": [], "vocab_size": 4}
    tokenizer = open_tokenizer(tiny(tmp_path), 4)
    assert special_ids(tmp_path, config) == (None, [])
    assert special_ids(tmp_path, config, tokenizer) == (None, [])
    (tmp_path / "tokenizer_config.json").write_text(
        '{"bos_token": "a", "eos_token": {"content": "b", "special": true}}'
    )
    assert special_ids(tmp_path, config) == (None, [])
    assert special_ids(tmp_path, config, tokenizer) == (1, [2])
    assert special_ids(tmp_path, config | {"eos_token_ids": [3]}, tokenizer) == (1, [3])
    for content in ('{"bos_token": 1}', '{"bos_token": {"content": []}}', '{"bos_token": "none"}', "{}"):
        (tmp_path / "tokenizer_config.json").write_text(content)
        assert special_ids(tmp_path, config, tokenizer) == (None, [])
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(TokenizerError, match="tokenizer_config.json: it holds a JSON list"):
        special_ids(tmp_path, config, tokenizer)


def test_stories260k_greedy_bytes_stream(data):
    tokenizer = open_tokenizer(data / "models" / "stories260K", 512)
    expected = (data / "models" / "stories260K" / "original" / "expected_greedy_200.txt").read_text()
    ids = tokenizer.encode(expected)
    stream = StreamDecoder(tokenizer)
    assert "".join(map(stream.push, ids)) + stream.flush() == expected
    assert special_ids(
        data / "models" / "stories260K", {"bos_token_id": 1, "eos_token_ids": [2], "vocab_size": 512}
    ) == (
        1,
        [2],
    )
