"""Multiple-choice questions on the small world, about combinations that no story has."""

import itertools

from refq.world.combinations import split
from refq.world.dice import Dice
from refq.world.episodes import fits, new_scene
from refq.world.lessons import some
from refq.world.rules import ALSO
from refq.world.stories import KINDS, LATER, aside, beginning, tell

SEED = 2**32  # far from any seed of stories
EACH = 200  # items of a kind


def items():
    """The questions, the same ones always.

    Returns
        list of dict: id; kind, of stories.KINDS; context, a story up to where the choices go on; choices, two to four
        ends of its last sentence; answer, the place of the right one. Right answers are spread evenly over the places.
    """
    return [item for number, kind in enumerate(KINDS) for item in _of_kind(kind, Dice(SEED, number))]


def _of_kind(kind, dice):
    held, seen, places = split(kind, True), set(), {}
    combinations = itertools.cycle(dice.some(held, len(held)))
    while len(seen) < EACH:
        combination, scene = next(combinations), new_scene(dice)
        if not fits(kind, combination, scene):
            continue  # the next one, with other people elsewhere
        context, asked = question(dice, scene, kind, combination)
        wrong = [end for end in asked.wrong if end.rstrip(".").split()[-1] not in ALSO.get(combination[0], ())]
        if context in seen or not wrong:
            continue
        choices = dice.some(wrong, len(wrong))
        answer = places[len(wrong)] = (places.get(len(wrong), -1) + 1) % (len(wrong) + 1)
        choices.insert(answer, asked.answer)
        yield {"id": f"{kind}-{len(seen)}", "kind": kind, "context": context, "choices": choices, "answer": answer}
        seen.add(context)


def question(dice, scene, kind, combination):
    """A story up to the answer that needs a combination, and the episode that has the answer."""
    asked = KINDS[kind](dice, scene, combination)
    if kind == "need":
        asked = asked._replace(wrong=strangers(dice, combination[0]))
    other = tell(dice, scene, dice.pick([name for name in KINDS if name not in ("where", kind)]))
    other = [*other.lines, f"{other.lead} {other.answer}", other.after, aside(dice, scene)]
    lines = [*asked.lines, *other] if kind in LATER and dice.chance(50) else [*other, *asked.lines]
    return " ".join(filter(None, [beginning(dice, scene), *lines, asked.lead])), asked


def strangers(dice, state):
    """Wrong answers to a need: things that help with others, and are held out like the right one.

    A held-out thing follows "needed" in no story at all; among things that do, it would be unlikely whatever the rule.
    """
    helps = {}
    for other, thing in split("need", True):
        helps.setdefault(other, []).append(thing)
    del helps[state]
    return [f"{some(dice.pick(helps[other]))}." for other in dice.some(sorted(helps), 3)]
