"""Every combination that an episode can be about, and which of them no story may have."""

import functools
import hashlib
import itertools

from refq.world.rules import FEELINGS, HANDMADE, MATERIALS, OPPOSITES, OUTCOMES, REMEDIES, SCALES, TASKS
from refq.world.words import COLORS, COUNTED, NUMBERS, PEOPLE, PLACES, THINGS

MOST = len(NUMBERS) - 1  # that anybody counts to


def _where():
    spots = {spot for place in PLACES.values() for spot in place}
    return itertools.product(THINGS, sorted(spots))


def _count():
    adds = [("add", n, m) for n in range(1, 8) for m in range(1, 6) if n + m <= MOST]
    takes = [("take", n, m) for n in range(2, MOST + 1) for m in range(1, 6) if n - m > 0]
    return ((*sum_, noun) for sum_ in adds + takes for noun in COUNTED)


def _compare():
    return ((more, *pair) for (more, _), ranked in SCALES.items() for pair in itertools.combinations(ranked, 2))


COMBINATIONS = {  # kind: all there are
    "where": list(_where()),  # a thing, and the spot where it is
    "who": [(person.name, thing) for person in PEOPLE for thing in THINGS],  # who has a thing
    "count": list(_count()),  # so many, and so many more or fewer, of a thing
    "color": list(itertools.product(THINGS, COLORS)),  # of a thing
    "feeling": [  # what happened, with a thing
        (event, thing) for event in FEELINGS for thing in (HANDMADE if event == "made" else THINGS)
    ],
    "tool": [(tool, target) for tool, (_, targets) in TASKS.items() for target in targets],
    "consequence": [
        (event, thing)
        for event, outcomes in OUTCOMES.items()
        for material, things in MATERIALS.items()
        for thing in things
        if material in outcomes
    ],
    "need": [(need, thing) for need, things in REMEDIES.items() for thing in things],
    "opposite": [(said, noun) for pair, nouns in OPPOSITES.items() for noun in nouns for said in pair.split()],
    "compare": list(_compare()),  # more, the one that is less, the one that is more
}


@functools.cache
def held_out(kind, combination):
    """Whether no story may have a combination: one in five, by the sha256 of its words.

    >>> held_out("need", ("hungry", "apple")), held_out("need", ("thirsty", "milk"))
    (False, True)
    """
    text = "|".join(map(str, (kind, *combination)))
    return hashlib.sha256(text.encode()).digest()[0] % 5 == 0


@functools.cache
def split(kind, held):
    """The combinations of a kind that are held out, or those that stories have."""
    return [combination for combination in COMBINATIONS[kind] if held_out(kind, combination) == held]
