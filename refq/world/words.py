"""Who and what there is in the small world: tables alone."""

from typing import NamedTuple


class Person(NamedTuple):
    """A name and its pronouns."""

    name: str
    he: str
    his: str


def table(text):
    """Lines `head: one, two, three` to a dict of tuples."""
    rows = (line.split(": ") for line in text.strip().splitlines())
    return {head.strip(): tuple(rest.split(", ")) for head, rest in rows}


PEOPLE = [Person(name, "he", "his") for name in ("Tom", "Ben", "Sam", "Max", "Leo", "Finn", "Jack", "Paul")]
PEOPLE += [Person(name, "she", "her") for name in ("Mia", "Anna", "Nora", "Ella", "Rosa", "Ida", "Emma", "Lucy")]
ELDERS = ("Mom", "Dad", "Grandma", "Grandpa", "the teacher", "the farmer", "the baker")
PETS = ("dog", "cat")

INDOORS = table("""
    in the kitchen: in the cupboard, in the drawer, under the table, on the shelf, in the basket
    in the bedroom: under the bed, in the chest, on the chair, behind the door, in the box
    in the attic: in the trunk, behind the curtain, in the box, under the carpet, on the shelf
    in the classroom: in the cupboard, under the desk, on the windowsill, in the bag, behind the door
""")
OUTDOORS = table("""
    in the garden: under the bench, behind the tree, in the bucket, in the basket, on the wall
    on the farm: in the cart, under the hay, in the sack, behind the gate, on the barrel
    on the beach: in the bucket, under the towel, behind the rock, in the bag, on the blanket
    in the park: under the bench, behind the tree, in the bag, under the bridge, on the swing
""")
PLACES = INDOORS | OUTDOORS

# things that people carry about, hide and give away
THINGS = (
    *("ball", "doll", "drum", "kite", "coin", "shell", "book", "hat", "bell", "ring", "map", "cup", "whistle"),
    *("flute", "puppet", "scarf", "marble", "button", "feather", "letter", "spoon", "stone", "crown", "mask"),
)
COUNTED = {  # one: many
    **{noun: f"{noun}s" for noun in ("apple", "pear", "plum", "cookie", "egg", "carrot", "orange", "nut", "flower")},
    **{noun: f"{noun}s" for noun in ("shell", "stone", "button", "marble", "coin", "feather", "stick", "card")},
    **{"leaf": "leaves", "berry": "berries", "peach": "peaches"},
}
COLORS = ("red", "blue", "green", "yellow", "white", "black", "brown", "pink", "orange", "gray")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

# (how a story begins, what one sees or hears then); the rest of the weather follows from the first
SKIES = (
    ("One sunny morning", ("The sun was warm.", "The birds were singing.", "The sky was blue.")),
    ("One warm afternoon", ("The sun was warm.", "The bees were busy.", "It was a lovely day.")),
    ("One rainy day", ("The rain fell and fell.", "There were puddles everywhere.", "The sky was gray.")),
    ("One windy day", ("The wind was loud.", "The clouds were fast.", "The leaves danced in the wind.")),
    ("One cold morning", ("The air was cold.", "There was frost on the grass.", "Everything was quiet.")),
    ("One snowy day", ("The snow was white and deep.", "Snow fell from the sky.", "Everything was white.")),
    ("One evening", ("The moon was big and round.", "The first stars came out.", "The day was almost over.")),
    ("After school", ("There was a lot of time to play.", "It was a lovely day.", "Nobody was tired yet.")),
    ("On Sunday", ("There was no school.", "There was a lot of time to play.", "The day was long.")),
)


def a(noun):
    """A noun with its article.

    >>> a("apple"), a("pear")
    ('an apple', 'a pear')
    """
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def many(number, noun):
    """So many of a counted noun.

    >>> many(1, "leaf"), many(3, "leaf")
    ('one leaf', 'three leaves')
    """
    return f"{NUMBERS[number]} {noun if number == 1 else COUNTED[noun]}"


def listed(nouns):
    """Nouns in one phrase.

    >>> listed(["a pear", "an egg", "a nut"])
    'a pear, an egg and a nut'
    """
    return " and ".join([", ".join(nouns[:-1]), nouns[-1]] if len(nouns) > 1 else nouns)


def sentence(text):
    """With a capital letter at its start."""
    return text[0].upper() + text[1:]
