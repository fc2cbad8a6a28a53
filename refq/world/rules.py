"""What follows from what in the small world: the tables of its rules."""

from refq.world.words import table

MATERIALS = table("""
    glass: vase, bottle, mirror, jar, bulb
    clay: plate, bowl, mug, pot, cup
    wood: spoon, stick, block, flute, stool
    metal: key, coin, bell, ring, nail
    stone: pebble, marble, statue, rock
    rubber: ball, tire, boot, eraser
    paper: map, letter, card, book, poster
    wool: scarf, sock, hat, mitten, blanket
    wax: candle, crayon
    ice: icicle, snowball, ice cube
""")
OUTCOMES = {  # event: material: what happens to the thing
    "drop": {
        **dict.fromkeys(("glass", "clay"), "broke into pieces"),
        **dict.fromkeys(("wool", "paper"), "landed without a sound"),
        "rubber": "bounced up again",
        "metal": "fell with a clang",
    },
    "water": {
        **dict.fromkeys(("metal", "stone"), "sank to the bottom"),
        "wood": "floated on the water",
        "paper": "became soft and weak",
        "wool": "became very heavy",
    },
    "heat": {
        **dict.fromkeys(("wax", "ice"), "melted away"),
        **dict.fromkeys(("metal", "stone"), "became very hot"),
        "paper": "turned black",
    },
    "wind": {
        **dict.fromkeys(("paper", "wool"), "flew away"),
        **dict.fromkeys(("metal", "stone"), "did not move"),
        **dict.fromkeys(("glass", "clay"), "fell over"),
    },
}
TASKS = {  # tool: (what it is for, to what)
    "knife": ("cut the", ("bread", "cake", "pie", "cheese", "melon")),
    "scissors": ("cut the", ("ribbon", "paper", "string", "cloth", "thread")),
    "saw": ("cut the", ("log", "branch", "board", "plank", "beam")),
    "shovel": ("dig a", ("hole", "pit", "ditch", "tunnel", "well")),
    "broom": ("sweep the", ("floor", "porch", "path", "stairs", "yard")),
    "brush": ("paint the", ("fence", "wall", "door", "house", "bench")),
    "pencil": ("draw a", ("circle", "face", "tree", "star", "square")),
    "hammer": ("fix the", ("roof", "table", "shelf", "fence", "cart")),
    "key": ("unlock the", ("gate", "chest", "door", "shed", "trunk")),
    "needle": ("sew the", ("shirt", "dress", "pillow", "curtain", "pocket")),
    "net": ("catch the", ("fish", "butterfly", "crab", "moth", "frog")),
    "rope": ("tie up the", ("boat", "goat", "sack", "horse", "cow")),
    "ladder": ("climb to the", ("roof", "nest", "attic", "window", "top shelf")),
    "towel": ("dry the", ("dog", "plates", "cups", "spoons", "baby")),
    "hose": ("water the", ("roses", "lawn", "beans", "tulips", "trees")),
}
NEEDS = {  # how one is: what is said of a thing that helps
    "hungry": "is something to eat",
    "thirsty": "is something to drink",
    "tired": "is soft to lie on",
    "cold": "keeps you warm",
    "in a dark room": "gives light",
    "bored": "is fun to play with",
    "dirty": "makes you clean",
    "out in the rain": "keeps you dry",
}
REMEDIES = table("""
    hungry: apple, pear, cookie, sandwich, carrot, egg, bread, cheese, rice, soup
    thirsty: milk, juice, water, tea, lemonade, cocoa
    tired: bed, pillow, sofa, hammock, mattress, cushion, couch
    cold: coat, sweater, jacket, shawl, blanket, scarf, quilt
    in a dark room: lamp, candle, lantern, torch, flashlight
    bored: puzzle, doll, drum, kite, ball, game, robot, swing, slide
    dirty: soap, sponge, bath, shower, washcloth
    out in the rain: umbrella, raincoat, tent, rain hat, rain cape
""")
MASS = set(
    *table("""
        some: bread, cheese, rice, soup, milk, juice, water, tea, lemonade, cocoa, soap, grass, ice
    """).values()
)  # what takes no a
SCALES = {  # (more, less): from least to most
    ("bigger", "smaller"): ["ant", "bee", "mouse", "duck", "fox", "goat", "lion", "horse", "elephant", "whale"],
    ("heavier", "lighter"): ["feather", "coin", "apple", "brick", "chair", "bathtub", "piano", "truck", "ship"],
    ("faster", "slower"): ["snail", "turtle", "pig", "bicycle", "car", "train", "plane", "rocket"],
}
OPPOSITES = table("""
    hot cold: soup, tea, bath, plate, oven, stone
    clean dirty: shirt, floor, car, dog, mug, blanket
    full empty: bucket, bag, jar, bottle, basket, barrel
    wet dry: towel, coat, grass, chair, dog, road
    heavy light: bag, stone, box, door, basket, book
    old new: hat, house, bicycle, coat, bridge, book
    open closed: door, window, gate, box, shop, drawer
    loud quiet: bell, drum, dog, train, song, river
    fast slow: train, horse, boat, car, bicycle, river
    long short: rope, road, tail, story, scarf, song
    soft hard: bed, pillow, bread, chair, apple, cushion
    dark bright: room, cave, cellar, hall, forest, lamp
    thick thin: book, rope, wall, branch, coat, ice
    high low: wall, shelf, hill, bridge, fence, branch
    sweet sour: apple, plum, juice, lemonade, berry, peach
""")
OPPOSITE = dict(pair for one, other in map(str.split, OPPOSITES) for pair in ((one, other), (other, one)))
CHANGES = {  # how a thing is: what makes it the opposite
    "dirty": "washed",
    "empty": "filled",
    "full": "emptied",
    "wet": "dried",
    "open": "closed",
    "closed": "opened",
    "cold": "heated",
    "hot": "cooled",
}
FEELINGS = {  # what happened to somebody: how that feels
    "lost": "sad",
    "present": "happy",
    "taken": "angry",
    "made": "proud",
}
ALSO = table("""
    cold: tea, cocoa, soup, bath, shower, bed, tent, candle
    dirty: water, towel
    out in the rain: coat, jacket
    tired: blanket, quilt, bath, tent
    hungry: milk, juice, cocoa
    thirsty: soup, apple, pear
    scissors: knife
    saw: knife
    ladder: rope
    hammer: saw, rope, brush
    pencil: brush
    broom: brush, hose
    lost: angry
    taken: sad
    made: happy
""")  # what might do as well, so that no question offers it as a wrong answer
HANDMADE = ("ball", "doll", "drum", "kite", "book", "hat", "puppet", "scarf", "flute", "whistle", "crown", "mask")


def outcome(event, thing):
    """What happens to a thing.

    >>> outcome("drop", "vase")
    'broke into pieces'
    """
    return next(text for material, text in OUTCOMES[event].items() if thing in MATERIALS[material])
