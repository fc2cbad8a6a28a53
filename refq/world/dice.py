"""Whole numbers by chance, the same on every machine and Python: SplitMix64."""

MASK = 2**64 - 1
STEP = 0x9E3779B97F4A7C15


class Dice:
    """A stream of draws that a seed decides.

    state = state + STEP;  a draw is the state, mixed by two multiplications and three shifts, all modulo 2**64

    >>> Dice(0).number() == 0xE220A8397B1DCDAF
    True

    Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"; the constants are those of
    Java's SplittableRandom.
    """

    def __init__(self, seed, *more):
        self.state = seed & MASK
        for number in more:  # mixed, so that neighbouring numbers share no part of their streams
            self.state = Dice(self.number() ^ number & MASK).number()

    def number(self):
        """The next whole number, 0 .. 2**64 - 1."""
        self.state = (self.state + STEP) & MASK
        mixed = (self.state ^ self.state >> 30) * 0xBF58476D1CE4E5B9 & MASK
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & MASK
        return mixed ^ mixed >> 31

    def below(self, limit):
        """A whole number, 0 .. limit - 1."""
        return self.number() * limit >> 64

    def chance(self, percent):
        """True in `percent` of 100 draws."""
        return self.below(100) < percent

    def pick(self, options):
        """One of a sequence."""
        return options[self.below(len(options))]

    def some(self, options, count):
        """`count` different ones of a sequence, in the order drawn."""
        rest = list(options)
        return [rest.pop(self.below(len(rest))) for _ in range(count)]
