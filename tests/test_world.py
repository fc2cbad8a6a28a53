"""The small world: the same text everywhere, right grammar, and combinations that no story has."""

import hashlib
import itertools

from refq.world.dice import Dice
from refq.world.stories import stories, story


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
