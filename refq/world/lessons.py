"""Things that happen as they always do: the tool for a task, what follows, what helps, opposites, more and less."""

from refq.world.episodes import Episode, nouns
from refq.world.rules import (
    CHANGES,
    FEELINGS,
    MASS,
    MATERIALS,
    NEEDS,
    OPPOSITE,
    OUTCOMES,
    REMEDIES,
    SCALES,
    TASKS,
    outcome,
)
from refq.world.words import ELDERS, INDOORS, a, listed, sentence


def tool(dice, scene, combination):
    """Somebody has work to do, and needs the right tool."""
    right, target = combination
    person, elder = dice.pick(scene.people), dice.pick(ELDERS)
    others = [name for name in TASKS if name != right and target not in TASKS[name][1]]
    wrong = dice.some(others, 3)
    scene.used.update(nouns((*combination, *wrong)))
    lines = [f"Then {person.name} helped {elder}."]
    if dice.chance(60):
        shown = dice.some([right, *wrong], 4)
        lines.append(sentence(f"{elder} had {listed([f'the {name}' for name in shown])}."))
    lead = dice.pick(
        (
            f"{person.name} wanted to {TASKS[right][0]} {target}. {sentence(person.he)} needed",
            f"They had to {TASKS[right][0]} {target}. {person.name} took",
            f'"Please {TASKS[right][0]} {target}," said {elder}. {person.name} used',
        )
    )
    after = dice.pick(("", "That was hard work.", f'"Well done," said {elder}.'))
    return Episode("tool", combination, lines, lead, f"the {right}.", [f"the {name}." for name in wrong], after)


def consequence(dice, scene, combination):
    """Something befalls a thing, and what follows depends on what it is made of."""
    event, thing = combination
    scene.used.update(nouns(combination))
    first, second = dice.some(scene.people, 2)
    indoors = scene.place in INDOORS
    happens = {
        "drop": f"{first.name} dropped the {thing} on the hard {'floor' if indoors else 'ground'}.",
        "water": f"{first.name} threw the {thing} into the {'tub of water' if indoors else 'pond'}.",
        "heat": f"{first.name} left the {thing} too close to the fire.",
        "wind": f"A strong wind blew {'through the window' if indoors else 'from the hills'} at the {thing}.",
    }
    material = next(name for name, things in MATERIALS.items() if thing in things)
    known = dice.pick((f"The {thing} was made of {material}.", f"{first.name} showed the {thing} to {second.name}."))
    right = outcome(event, thing)
    wrong = [f"{other}." for other in dict.fromkeys(OUTCOMES[event].values()) if other != right]
    after = dice.pick(("", f'"Look!" said {second.name}.', f"{second.name} was not surprised."))
    return Episode("consequence", combination, [known, happens[event]], f"The {thing}", f"{right}.", wrong, after)


def need(dice, scene, combination):
    """Somebody lacks something, and one thing helps."""
    state, remedy = combination
    scene.used.update(nouns(combination))
    first, second = dice.some(scene.people, 2)
    others = [name for name in NEEDS if remedy not in REMEDIES[name] and name != state]
    wrong = [dice.pick(REMEDIES[name]) for name in dice.some(others, 3)]
    asked = dice.pick(("needed", "asked for", "wished for"))
    lead = dice.pick((f"{sentence(first.he)} {asked}", f"{second.name} wanted to help and found"))
    after = dice.pick(("", f"Soon {first.name} was better.", f'"Thank you," said {first.name}.'))
    phrases = [f"{some(thing)}." for thing in (remedy, *wrong)]
    sudden = {"in a dark room": "Then the light went out.", "out in the rain": "Then it began to rain."}
    lines = [sudden.get(state, f"After a while {first.name} felt {state}.")]
    lines += [f"{first.name} was {state}."] * (state in sudden)
    return Episode("need", combination, lines, lead, phrases[0], phrases[1:], after)


def feeling(dice, scene, combination):
    """Something happens to somebody, who feels as one does then."""
    event, thing = combination
    scene.used.add(thing)
    first, second = dice.some(scene.people, 2)
    happens = {
        "lost": (f"{first.name} lost {first.his} {thing}.", f"{first.name} could not find {first.his} {thing}."),
        "present": (f"{second.name} brought {first.name} {a(thing)} for a present.",),
        "taken": (f"{second.name} took the {thing} from {first.name} and would not give it back.",),
        "made": (f"{first.name} made {a(thing)} all alone.", f"{first.name} made {a(thing)}, and everybody liked it."),
    }
    lead = dice.pick((f"{first.name} was", f"Now {first.name} felt", f"So {first.he} was"))
    wrong = [f"{FEELINGS[other]}." for other in FEELINGS if other != event]
    after = dice.pick(("", f"{second.name} could see it."))
    return Episode("feeling", combination, [dice.pick(happens[event])], lead, f"{FEELINGS[event]}.", wrong, after)


def opposite(dice, scene, combination):
    """A thing is not so, but the opposite; or somebody changes it."""
    said, noun = combination
    scene.used.update(nouns(combination))
    first, second = dice.some(scene.people, 2)
    if said in CHANGES and dice.chance(50):
        lines = [f"Then they saw {some(noun)}.", f"The {noun} was {said}.", f"{first.name} {CHANGES[said]} the {noun}."]
        lead = f"Now the {noun} was"
    else:
        told = (f"{first.name} told {second.name} about", f"{first.name} dreamed of")
        lines = [f"{dice.pick(told)} {some(noun)}."]
        lead = dice.pick(
            (
                f"The {noun} was not {said}. It was",
                f'"Is the {noun} {said}?" asked {second.name}. "No," said {first.name}. It was',
                f"{second.name} thought that it was {said}, but it was the opposite. The {noun} was",
            )
        )
    others = [word for word in OPPOSITE if word not in (said, OPPOSITE[said])]
    wrong = [f"{word}." for word in (said, *dice.some(others, 2))]
    return Episode("opposite", combination, lines, lead, f"{OPPOSITE[said]}.", wrong)


def compare(dice, scene, combination):
    """Two things, and which of them is more."""
    more, low, high = combination
    scene.used.update(nouns((low, high)))
    less = next(pair[1] for pair in SCALES if pair[0] == more)
    first, second = dice.some(scene.people, 2)
    word, right = dice.pick(((more, high), (less, low)))
    one, two = dice.some((low, high), 2)
    if dice.chance(50):
        lead = f"{first.name} asked what was {word}, {a(one)} or {a(two)}. {second.name} said it was"
        return Episode("compare", combination, [], lead, f"{a(right)}.", [f"{a(low if right == high else high)}."])
    lead = f"{first.name} and {second.name} talked about {a(one)} and {a(two)}. The {one} was"
    right, wrong = (more, less) if one == high else (less, more)
    return Episode("compare", combination, [], lead, f"{right} than the {two}.", [f"{wrong} than the {two}."])


def some(noun):
    """A noun with the article that it takes when it is new.

    >>> some("milk"), some("egg")
    ('some milk', 'an egg')
    """
    return f"some {noun}" if noun in MASS else a(noun)
