"""Endless stories of the small world, each decided by a seed and its number."""

import itertools

from refq.world import episodes, lessons
from refq.world.dice import Dice
from refq.world.rules import MASS, MATERIALS, NEEDS, REMEDIES
from refq.world.words import ELDERS, INDOORS, PETS, SKIES, a, listed, sentence

KINDS = {
    "where": episodes.where,
    "who": episodes.who,
    "count": episodes.count,
    "color": episodes.color,
    "tool": lessons.tool,
    "consequence": lessons.consequence,
    "need": lessons.need,
    "feeling": lessons.feeling,
    "opposite": lessons.opposite,
    "compare": lessons.compare,
}
LATER = {"where", "who", "count", "color"}  # kinds whose question can be asked at the end of the story


def stories(seed):
    """Stories without end.

    Parameters
        seed: int; the stories of different seeds are different.
    Yields
        str: a story on one line.

    >>> next(stories(1)) == story(1, 0)
    True
    """
    return (story(seed, number) for number in itertools.count())


def story(seed, number):
    """Story `number` of a seed: a beginning, two or three episodes, an end."""
    dice = Dice(seed, number)
    scene = episodes.new_scene(dice)
    kinds = dice.some(list(KINDS), 2 + dice.chance(40))
    told = {
        kind: tell(dice, scene, kind) for kind in sorted(kinds, key=lambda kind: kind != "where")
    }  # needs most room
    told = [told[kind] for kind in kinds]
    parts = [beginning(dice, scene)]
    if told[0].kind in LATER and dice.chance(50):  # its question comes last: one has to remember
        parts += told[0].lines
        told = [*told[1:], told[0]._replace(lines=["Then it was late."] * dice.chance(50))]
    for episode in told:
        parts += [*episode.lines, f"{episode.lead} {episode.answer}", episode.after, aside(dice, scene)]
    return " ".join(filter(None, [*parts, end(dice, scene)]))


def tell(dice, scene, kind):
    """An episode of a kind, about a combination that stories have."""
    return KINDS[kind](dice, scene, episodes.draw(dice, kind, scene))


def beginning(dice, scene):
    """Who is where, and when."""
    first, *others = (person.name for person in scene.people)
    sky, remarks = dice.pick(SKIES)
    pet = f" There was a {dice.pick(PETS)}, too." * dice.chance(15)
    remark = f" {dice.pick(remarks)}" * dice.chance(50)
    who = dice.pick(
        (f"{first} was {scene.place} with {listed(others)}", f"{listed([first, *others])} were {scene.place}")
    )
    return f"{sky}, {who}.{pet}{remark}"


def aside(dice, scene):
    """Now and then a sentence that changes nothing, or says what a thing is."""
    if dice.chance(50):
        return ""
    first, second = dice.some(scene.people, 2)
    return dice.pick(
        (
            f'"{fact(dice)}" said {first.name}.'.replace('."', ',"'),
            f"{sentence(dice.pick(ELDERS))} had told them: {fact(dice)}",
            f"{first.name} knew this: {fact(dice)}",
            f"{first.name} sang a song, and {second.name} laughed.",
            f"{first.name} took {second.name} by the hand.",
            f"A {dice.pick(PETS)} came to look.",
            f"{first.name} told {second.name} a funny story.",
            f"{first.name} and {second.name} danced around the room."
            if scene.place in INDOORS
            else f"{first.name} and {second.name} ran around and around.",
            f"{second.name} smiled at {first.name}.",
            f'"You are my friend," said {first.name}.',
        )
    )


def end(dice, scene):
    """How a story ends."""
    first, second = dice.some(scene.people, 2)
    return dice.pick(
        (
            "It was a good day.",
            "Then it was time to go home.",
            f"{first.name} and {second.name} were good friends.",
            f"In the evening {first.name} told {dice.pick(ELDERS)} about it.",
            f'"Let us meet again tomorrow," said {first.name}.',
            f"{first.name} was happy, and {second.name} was happy, too.",
            f"That night {first.name} dreamed of it.",
            f"{sentence(dice.pick(ELDERS))} called them, and they went home.",
            "They were tired, but they were happy.",
            "And that is the end of the story.",
        )
    )


def fact(dice):
    """A sentence on what a thing is made of, or good for."""
    if dice.chance(50):
        material = dice.pick(list(MATERIALS))
        return f"{sentence(a(dice.pick(MATERIALS[material])))} is made of {material}."
    state = dice.pick(list(NEEDS))
    thing = dice.pick(REMEDIES[state])
    return f"{sentence(thing if thing in MASS else a(thing))} {NEEDS[state]}."
