"""A reader of the small world's stories that knows nothing of how they are written: what a text says, and what follows.

Its tables say the world's rules a second time, in other words than refq.world.rules.
"""

import re

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
N = "|".join(WORDS[1:])
A = "(?:an?|some)"
SPOT = r"((?:in|on|under|behind) the \w+)"
BY_WORK = {  # what a tool is for
    "cut": {
        "knife": "bread cake pie cheese melon",
        "scissors": "ribbon paper string cloth thread",
        "saw": "log branch board plank beam",
    },
    **{"dig": "shovel", "sweep": "broom", "paint": "brush", "draw": "pencil", "fix": "hammer", "unlock": "key"},
    **{"sew": "needle", "catch": "net", "tie": "rope", "climb": "ladder", "dry": "towel", "water": "hose"},
}
BREAK = "vase bottle mirror jar bulb plate bowl mug pot cup"
HARD = "key coin bell ring nail pebble marble statue rock"
WOOL, PAPER = "scarf sock hat mitten blanket", "map letter card book poster"
FATE = {  # what happens to it: the end of the sentence: to what
    "dropped": {
        "broke into pieces": BREAK,
        "landed without a sound": f"{WOOL} {PAPER}",
        "bounced up again": "ball tire boot eraser",
        "fell with a clang": "key coin bell ring nail",
    },
    "threw": {
        "sank to the bottom": HARD,
        "floated on the water": "spoon stick block flute stool",
        "became soft and weak": PAPER,
        "became very heavy": WOOL,
    },
    "left": {
        "melted away": "candle crayon icicle snowball cube",
        "became very hot": HARD,
        "turned black": PAPER,
    },
    "wind": {"flew away": f"{WOOL} {PAPER}", "did not move": HARD, "fell over": BREAK},
}
EVENTS = {"dropped": "drop", "threw": "water", "left": "heat", "wind": "wind"}
HELP = {
    "hungry": "apple pear cookie sandwich carrot egg bread cheese rice soup",
    "thirsty": "milk juice water tea lemonade cocoa",
    "tired": "bed pillow sofa hammock mattress cushion couch",
    "cold": "coat sweater jacket shawl blanket scarf quilt",
    "in a dark room": "lamp candle lantern torch flashlight",
    "bored": "puzzle doll drum kite ball game robot swing slide",
    "dirty": "soap sponge bath shower washcloth",
    "out in the rain": "umbrella raincoat tent hat cape",
}
PAIRS = [
    *("hot", "cold", "clean", "dirty", "full", "empty", "wet", "dry", "heavy", "light", "old", "new", "open", "closed"),
    *("loud", "quiet", "fast", "slow", "long", "short", "soft", "hard", "dark", "bright", "thick", "thin"),
    *("high", "low", "sweet", "sour"),
]
ORDER = {
    ("bigger", "smaller"): "ant bee mouse duck fox goat lion horse elephant whale",
    ("heavier", "lighter"): "feather coin apple brick chair bathtub piano truck ship",
    ("faster", "slower"): "snail turtle pig bicycle car train plane rocket",
}
FELT = {"lost": "sad", "present": "happy", "taken": "angry", "made": "proud"}
ASKED_WORK = re.compile(r"(?:wanted to|had to|Please) (?!have)(\w+)(?: up| to)? (?:a|the) (?:top )?(\w+)[.,]")
BEFALLS = re.compile(r"(dropped|threw|left) the ([\w ]+?) (?:on|into|too)|strong (wind) blew .*? at the (\w+)\.")
LACKS = re.compile(r"(?<=felt )(?:hungry|thirsty|tired|cold|bored|dirty)(?=\.)|in a dark room|out in the rain")
SAYS = re.compile(
    r'The (\w+) was not (\w+)\.|Is the (\w+) (\w+)\?"|that it was (\w+), but|'
    rf"saw {A} \w+\. The (\w+) was (\w+)\."
)
COMPARES = re.compile(
    rf"asked what was (\w+), {A} (\w+) or {A} (\w+)\.|talked about {A} (\w+) and {A} (\w+)\. The (\w+)"
)
COUNTS = re.compile(rf"(?:had|found) ({N}) (\w+)\. Then \w+ (found|got|gave|lost) ({N}) ")
LOSES = re.compile(
    rf"(lost|could not find) (?:his|her) (\w+)\.|brought \w+ {A} (\w+) for a (present)|"
    rf"took the (\w+) from \w+ and (would) not|(made) {A} (\w+)(?: all|,)"
)
COLORED = re.compile(r"(?:had|saw|found) an? (red|blue|green|yellow|white|black|brown|pink|orange|gray) (\w+)\.")


def spots(text):
    """(thing, spot) in the order told."""
    put = rf"put (?:the|an?) (\w+) {SPOT}|(?:had an?|took the) (\w+) and put it {SPOT}|the (\w+)\. Now it was {SPOT}"
    return [tuple(filter(None, match)) for match in re.findall(put, text)]


def holders(text):
    """(name, thing) in the order told, and what is said of it at the end."""
    found, thing = [], None
    had = r"([A-Z]\w+) (?:had|found) an? (\w+)(?: and an? (\w+))?\."
    gave = r"(\w+) gave (it|the \w+) to (\w+)\.|(\w+) got (it|the \w+) from (\w+)\."
    said = r"(?:Who had the (\w+) now\? It was|the (\w+) was with) (\w+)\.|Now (\w+) had the (\w+)\."
    for match in re.finditer(rf"{had}|{gave}|{said}|brought (\w+) an? (\w+) for a present", text):
        g = match.groups()
        if g[0]:
            found += [(g[0], name) for name in g[1:3] if name]
            thing = g[1]
        elif g[3] or g[6]:
            it, taker = (g[4], g[5]) if g[3] else (g[7], g[6])
            thing = thing if it == "it" else it.removeprefix("the ")
            found.append((taker, thing))
        elif g[11] or g[12] or g[9] or g[10]:
            found.append((g[12], g[13]) if g[12] else (g[11], g[9] or g[10]))
        else:
            found.append(g[-2:])
    return found


def singular(noun):
    """One of many."""
    return {"leaves": "leaf", "berries": "berry", "peaches": "peach"}.get(noun, noun.removesuffix("s"))


def plural(number, noun):
    """So many."""
    special = {"leaf": "leaves", "berry": "berries", "peach": "peaches"}
    return f"{WORDS[number]} {noun if number == 1 else special.get(noun, noun + 's')}"


def opposite(word):
    """The other of a pair."""
    return PAIRS[PAIRS.index(word) ^ 1]


def tool(verb, target):
    """What one needs to do that."""
    right = BY_WORK[verb]
    return right if isinstance(right, str) else next(name for name in right if target in right[name].split())


def sayings(text):
    """(adjective, noun) as the question of an opposite has them."""
    for match in SAYS.finditer(text):
        g = match.groups()
        if g[4]:  # "X thought that it was": the noun stands before
            nouns = re.findall(rf"(?:told \w+ about|dreamed of) {A} (\w+)\.", text[: match.start()])
            yield g[4], nouns[-1]
        elif g[6]:
            yield g[6], g[5]
        else:
            noun, word = g[:2] if g[0] else g[2:4]
            yield word, noun


def comparisons(text):
    """(word asked for or None, one, two, the subject or None)."""
    for match in COMPARES.finditer(text):
        g = match.groups()
        yield (g[0], *g[1:3], None) if g[0] else (None, *g[3:5], g[5])


def ranks(one, two):
    """The scale that has both, and (less, more)."""
    for words, ranked in ORDER.items():
        ranked = ranked.split()
        if one in ranked and two in ranked:
            return words, tuple(sorted((one, two), key=ranked.index))
    raise AssertionError((one, two))


def events(text):
    """(what happens, to what)."""
    return [(g[0] or g[2], g[1] or g[3]) for g in BEFALLS.findall(text)]


def fate(event, thing):
    """The end of the sentence on what follows."""
    return next(end for end, things in FATE[event].items() if thing.split()[-1] in things.split())


def losses(text):
    """(event, thing)."""
    for lost, what, present, gift, taken, took, made, built in LOSES.findall(text):
        name = "lost" if lost else "present" if gift else "taken" if took else "made" if made else ""
        yield name, what or present or taken or built


def combinations(text):
    """Every (kind, combination) that a whole story tells."""
    yield from (("where", pair) for pair in spots(text))
    yield from (("who", pair) for pair in holders(text))
    yield from (("color", (thing, color)) for color, thing in COLORED.findall(text))
    for n, noun, verb, m in COUNTS.findall(text):
        name = "add" if verb in ("found", "got") else "take"
        yield "count", (name, WORDS.index(n), WORDS.index(m), singular(noun))
    yield from (("feeling", pair) for pair in losses(text))
    for verb, target in ASKED_WORK.findall(text):
        yield "tool", (tool(verb, target), {"shelf": "top shelf"}.get(target, target) if verb == "climb" else target)
    yield from (("consequence", (EVENTS[event], thing)) for event, thing in events(text))
    for match in LACKS.finditer(text):
        found = re.search(rf"(?:needed|asked for|wished for|and found) {A} ([\w ]+)\.", text[match.end() :])
        if found:
            yield "need", (match[0], found[1])
    yield from (("opposite", pair) for pair in sayings(text))
    for _, one, two, _ in comparisons(text):
        (more, _), pair = ranks(one, two)
        yield "compare", (more, *pair)


def answer(kind, context, choices):
    """What a question must be answered, from its context alone."""
    if kind == "where":
        thing = re.findall(r"(?:have|looked for|Where is) the (\w+)", context)[-1]
        return dict(spots(context))[thing]
    if kind == "who":
        return _who(context, choices)
    if kind == "color":
        thing = re.findall(r"said that the (\w+) was|What color is the (\w+)\?", context)[-1]
        return {thing: color for color, thing in COLORED.findall(context)}["".join(thing)]
    if kind == "count":
        n, noun, verb, m = COUNTS.findall(context)[-1]
        sign = 1 if verb in ("found", "got") else -1
        return plural(WORDS.index(n) + sign * WORDS.index(m), singular(noun))
    if kind == "feeling":
        return FELT[list(losses(context))[-1][0]]
    if kind == "tool":
        return f"the {tool(*ASKED_WORK.findall(context)[-1])}"
    if kind == "consequence":
        return fate(*events(context)[-1])
    if kind == "need":
        state = LACKS.findall(context)[-1]
        return next(choice for choice in choices if choice.rstrip(".").split()[-1] in HELP[state].split()).rstrip(".")
    if kind == "opposite":
        return opposite(list(sayings(context))[-1][0])
    assert kind == "compare"
    word, one, two, subject = list(comparisons(context))[-1]
    (more, less), (low, high) = ranks(one, two)
    if subject:
        return f"{more if subject == high else less} than the {low if subject == high else high}"
    right = high if word == more else low
    return f"{'an' if right[0] in 'aeiou' else 'a'} {right}"


def _who(context, choices):
    last = {thing: name for name, thing in holders(context)}
    thing = re.search(r"Who had the (\w+) now\? It was$|Now the (\w+) was with$", context)
    if thing:
        return last[thing[1] or thing[2]]
    name = context.split()[-2]
    held = [choice for choice in choices if last.get(choice.removeprefix("the ").rstrip(".")) == name]
    assert len(held) == 1, (context, choices)
    return held[0].rstrip(".")
