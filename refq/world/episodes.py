"""Things that happen to the people of a story: where a thing is, who has it, how many there are."""

import functools
from typing import NamedTuple

from refq.world.combinations import held_out, split
from refq.world.words import COLORS, INDOORS, NUMBERS, PEOPLE, PLACES, THINGS, a, listed, many


class Scene(NamedTuple):
    """What a story's episodes share."""

    people: list
    place: str
    used: set  # nouns an episode has told of; no other may, so that nothing contradicts it


class Episode(NamedTuple):
    """Something that happens, and a question with its answer."""

    kind: str
    combination: tuple  # which the answer needs; see combinations.COMBINATIONS
    lines: list  # what happens
    lead: str  # the beginning of the sentence that the answer ends
    answer: str
    wrong: list  # other ends
    after: str = ""  # a sentence that may follow


def new_scene(dice):
    """Two or three people somewhere."""
    return Scene(dice.some(PEOPLE, 2 + dice.below(2)), dice.pick(sorted(PLACES)), set())


def where(dice, scene, combination):
    """A thing is put somewhere, perhaps moved, and looked for."""
    thing, spot = combination
    first, second = (person.name for person in dice.some(scene.people, 2))
    before = draw(dice, "where", scene, lambda c: c[0] == thing and c[1] != spot)[1]
    other, elsewhere = draw(dice, "where", scene, lambda c: c[0] != thing and c[1] not in (spot, before))
    scene.used.update(nouns((thing, other, spot, before, elsewhere)))
    took = dice.pick((f"took the {thing} and put it", f"came and put the {thing}", f"moved the {thing}. Now it was"))
    puts = dice.pick((f"{first} put the {thing}", f"{first} had {a(thing)} and put it"))
    moved = [f"{puts} {before}.", f"Then {second} {took} {spot}."]
    lines, named = dice.pick(
        (
            (moved, [before]),
            ([*moved, f"{first} put {a(other)} {elsewhere}."], [before, elsewhere]),
            ([f"{second} put {a(other)} {elsewhere}.", *moved], [before, elsewhere]),
            ([f"{puts} {spot}.", f"{second} put {a(other)} {elsewhere}."], [elsewhere]),
        )
    )
    asked = (f"{second} wanted to have the {thing}.", f"Later {first} looked for the {thing}.")
    lead = dice.pick((*asked, f'"Where is the {thing}?" asked {first}.')) + " It was"
    rest = [other for other in PLACES[scene.place] if other not in (spot, *named)]
    wrong = [f"{other}." for other in named + dice.some(rest, 3 - len(named))]
    after = dice.pick(("", f"{first} was glad.", "So it was not lost."))
    return Episode("where", combination, lines, lead, f"{spot}.", wrong, after)


def who(dice, scene, combination):
    """A thing goes from one to another."""
    name, thing = combination
    others = [person.name for person in scene.people if person.name != name]
    others = dice.some(others, len(others))
    other = draw(dice, "who", scene, lambda c: c[0] == others[0] and c[1] != thing)[1]
    chain = [person for person in others if not held_out("who", (person, thing))]
    if chain[:1] == others[:1]:
        lines = [f"{others[0]} had {listed(dice.some((a(thing), a(other)), 2))}."]
    else:
        lines = [f"{others[0]} had {a(other)}.", f"{(chain or [name])[0]} {'had' if chain else 'found'} {a(thing)}."]
    for giver, taker in zip(chain, [*chain[1:], name], strict=bool(chain)):
        it = dice.pick(("it", f"the {thing}")) if "and" not in lines[-1] else f"the {thing}"
        gave = (f"{giver} gave {it} to {taker}.", f"{taker} got {it} from {giver}.")
        lines.append("Then " * dice.chance(50) + dice.pick(gave))
    scene.used.update(nouns((thing, other)))
    if dice.chance(50):
        lead, answer, third = f"Now {name} had", f"the {thing}.", dice.pick([t for t in THINGS if t not in scene.used])
        wrong = [f"the {other}.", f"the {third}."]
    else:
        lead = dice.pick((f"Who had the {thing} now? It was", f"Now the {thing} was with"))
        answer, wrong = f"{name}.", [f"{other}." for other in others]
    after = dice.pick(("", f"{name} liked the {thing}.", f"It was a good {thing}."))
    return Episode("who", combination, lines, lead, answer, wrong, after)


def count(dice, scene, combination):
    """Some things, and then more or fewer."""
    verb, n, m, noun = combination
    scene.used.add(noun)
    first, second = dice.some(scene.people, 2)
    if verb == "add":
        total, then = n + m, (f"found {NUMBERS[m]} more", f"got {NUMBERS[m]} more from {second.name}")
    else:
        total, then = n - m, (f"gave {many(m, noun)} to {second.name}", f"lost {many(m, noun)}")
    lines = [f"{first.name} {dice.pick(('had', 'found'))} {many(n, noun)}."]
    lines.append(f"Then {dice.pick((first.he, first.name))} {dice.pick(then)}.")
    lead = dice.pick((f"Now {first.name} had", f'"How many do you have?" asked {second.name}. {first.name} had'))
    near = [k for k in range(total - 3, total + 4) if 0 < k < len(NUMBERS) and k != total]
    wrong = [f"{many(k, noun)}." for k in dice.some(near, 3)]
    return Episode("count", combination, lines, lead, f"{many(total, noun)}.", wrong)


def color(dice, scene, combination):
    """Two things, and the color of one."""
    thing, right = combination
    scene.used.add(thing)
    first, second = (person.name for person in dice.some(scene.people, 2))
    other, wrong = draw(dice, "color", scene, lambda c: c[1] != right)
    scene.used.add(other)
    lines = [f"{first} had {a(right)} {thing}.", f"{second} {dice.pick(('had', 'saw', 'found'))} {a(wrong)} {other}."]
    lead = dice.pick((f"{first} said that the {thing} was", f'"What color is the {thing}?" asked {second}. It was'))
    rest = [name for name in COLORS if name not in (right, wrong)]
    lines = dice.some(lines, 2)
    wrong = [f"{name}." for name in (wrong, *dice.some(rest, 2))]
    return Episode("color", combination, lines, lead, f"{right}.", wrong, dice.pick(("", f"{second} liked {right}.")))


@functools.cache
def nouns(combination):
    """The words by which episodes could contradict each other.

    >>> sorted(nouns(("ball", "in the box")))
    ['ball', 'box']
    """
    return {str(part).split()[-1] for part in combination}


def fits(kind, combination, scene):
    """Whether an episode about a combination can take place in a scene."""
    names, [one, two, *_] = [person.name for person in scene.people], combination
    if kind == "who" and one not in names:
        return False
    if kind == "need" and one == ("out in the rain" if scene.place in INDOORS else "in a dark room"):
        return False  # it is dark only in a house, and it rains only on those who are in none
    if kind == "where":
        spots = PLACES[scene.place]
        if two not in spots or sum(not held_out("where", (one, spot)) for spot in spots) < 2:
            return False  # there must be another spot to take it from
    thing = {"where": one, "color": one, "feeling": two}.get(kind)  # everybody may come to have it
    if thing and any(held_out("who", (name, thing)) for name in names):
        return False
    return not scene.used & nouns(combination)


def draw(dice, kind, scene, also=lambda combination: True):
    """A combination that stories have, and that fits the scene."""
    while True:
        combination = dice.pick(split(kind, False))
        if fits(kind, combination, scene) and also(combination):
            return combination
