"""The small world: the same text everywhere, right grammar, and combinations that no story has."""

import collections
import doctest
import hashlib
import importlib
import itertools
import json
import math
import os
import re

import pytest

import refq_fast
from refq.files.checkpoint import llama_tensors
from refq.files.config import read_config
from refq.files.tokenizer import open_tokenizer
from refq.jobs.evaluate import evaluate_model
from refq.world.combinations import COMBINATIONS, held_out, split
from refq.world.dice import Dice
from refq.world.items import items
from refq.world.stories import stories, story
from refq.world.words import COUNTED, NUMBERS
from tests import world_reader
from tools.world import WORLD, files

STORIES = 100_000 if os.environ.get("REFQ_HYPOTHESIS") == "thorough" else 20_000
ITEMS = [json.loads(line) for line in (WORLD / "commonsense.jsonl").read_text(encoding="utf-8").splitlines()]


def test_dice_are_splitmix64():
    dice = Dice(1234567)  # the numbers that other programs give for this seed
    assert [dice.number() for _ in range(4)] == [
        *(6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431)
    ]


def test_the_first_stories_are_those_recorded():
    text = "\n".join(itertools.islice(stories(0), 1000))
    assert hashlib.sha256(text.encode()).hexdigest() == (
        "3539316c38e027c9f61fe4dab495d566a0428d1e05936a5f566db3b50db75f8a"
    )


def test_a_story_needs_no_other():
    assert list(itertools.islice(stories(5), 20))[19] == story(5, 19)
    assert len({story(seed, number) for seed in range(30) for number in range(30)}) == 900


def test_the_first_questions_are_those_of_the_package():
    assert json.loads(json.dumps(items())) == ITEMS
    assert files("items")["commonsense.jsonl"] == (WORLD / "commonsense.jsonl").read_text(encoding="utf-8")


def test_no_story_has_a_combination_that_is_held_out():
    told = {kind: set() for kind in COMBINATIONS}
    for number in range(STORIES):
        for kind, combination in world_reader.combinations(story(1, number)):
            told[kind].add(combination)
    for kind, found in told.items():
        assert not [combination for combination in found if held_out(kind, combination)], kind
        assert found <= set(COMBINATIONS[kind]), found - set(COMBINATIONS[kind])
        assert len(found) >= 0.95 * len(split(kind, False)), f"{kind}: the reader sees too little"


def test_questions_are_about_what_no_story_has():
    for item in ITEMS:
        whole = f"{item['context']} {item['choices'][item['answer']]}"
        held = [pair for pair in world_reader.combinations(whole) if held_out(*pair)]
        assert item["kind"] in {kind for kind, _ in held}, item


def test_answers_are_right_by_another_reading():
    for item in ITEMS:
        right = world_reader.answer(item["kind"], item["context"], item["choices"])
        assert item["choices"][item["answer"]] == f"{right}.", item


def test_questions_are_fair():
    assert len({item["context"] for item in ITEMS}) == len(ITEMS) == 2000
    places = collections.Counter((item["kind"], len(item["choices"]), item["answer"]) for item in ITEMS)
    for kind, count, _ in places:
        each = [places[kind, count, place] for place in range(count)]
        assert max(each) - min(each) <= 1, (kind, each)
    for item in ITEMS:
        lengths = list(map(len, item["choices"]))
        assert len(set(item["choices"])) == len(lengths) in (2, 3, 4), item
        assert max(lengths) <= 2.5 * min(lengths) + 6, item
    for kind in COMBINATIONS:
        of_kind = [item for item in ITEMS if item["kind"] == kind]
        chance = sum(1 / len(item["choices"]) for item in of_kind) / len(of_kind)
        for longest in (max, min):  # the length of a choice says little
            found = sum(item["choices"].index(longest(item["choices"], key=len)) == item["answer"] for item in of_kind)
            assert abs(found / len(of_kind) - chance) < 0.15, (kind, longest)


def test_every_rule_can_be_learned():
    for kind, all_of_them in COMBINATIONS.items():
        assert len(split(kind, True)) >= 10, kind
        assert 0.7 < len(split(kind, False)) / len(all_of_them) < 0.9, kind
        for part in (0, -1):  # every thing, tool, state ... is in most of its combinations
            for value in {combination[part] for combination in all_of_them}:
                of_it = [combination for combination in all_of_them if combination[part] == value]
                known = [combination for combination in of_it if not held_out(kind, combination)]
                assert known or len(of_it) < 3, (kind, value)


def test_grammar():
    one, many = "|".join(COUNTED), "|".join(COUNTED.values())
    numbers = "|".join(NUMBERS[2:])
    for number in range(5000):
        text = story(2, number)
        for article, letter in re.findall(r"\b(an?) (\w)", text, re.I):
            assert (article.lower() == "an") == (letter in "aeiou"), text
        for number, noun in re.findall(rf"\b(one|{numbers}) (\w+)", text):
            assert noun == "more" or re.fullmatch(one if number == "one" else many, noun), text
        assert not re.search(r'[.?!] [a-z]|[.?!]" (?!asked|said)[a-z]', text), text
        assert not re.search(r"  |[.,?!] ?[.,?!]|\b(\w+) \1\b", text), text
        assert text[0].isupper(), text
        assert text.endswith((".", '."')), text
        assert text.count('"') % 2 == 0, text


def test_stories_are_short_and_their_words_few():
    tokenizer = open_tokenizer(WORLD / "model", 1024)
    texts = [story(3, number) for number in range(2000)]
    lengths = sorted(len(tokenizer.encode(text)) for text in texts)
    assert 45 <= lengths[0]
    assert lengths[20] >= 60
    assert lengths[-1] <= 210
    assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in texts[:200])
    assert len({word for text in texts for word in re.findall(r"[a-z]+", text.lower())}) < 600


def test_the_tokenizer_is_what_the_tool_writes():
    for name, text in files("tokenizer").items():
        assert (WORLD / name).read_text(encoding="utf-8") == text, f"{name}: run python -m tools.world tokenizer"


@pytest.mark.parametrize("name", [path.stem for path in sorted(WORLD.glob("[a-z]*.py"))])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"refq.world.{name}")).failed == 0


def test_the_model_is_the_one_that_its_card_describes():
    card = (WORLD / "model" / "README.md").read_text(encoding="utf-8")
    weights = (WORLD / "model" / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() in card
    assert len(weights) < 6_000_000
    count = sum(math.prod(shape) for shape in llama_tensors(read_config(WORLD / "model" / "config.json")).values())
    assert f"{count:,}" in card


def test_the_model_answers_far_above_chance():
    found = evaluate_model(WORLD / "model", WORLD / "commonsense.jsonl", refq_fast)
    assert found["accuracy"] == pytest.approx(0.8675, abs=0.002)
    assert found["chance"] == pytest.approx(0.2987, abs=1e-4)
