"""Rules that several formats share, each a sentence about a layer that breaks it."""

import collections


def columns_in_order(facts):
    if not facts.ordered:
        return "its columns are not in the order of the inputs (desc_act)"
    return None


def on_the_grid(facts):
    if not facts.whole:
        return "a bias is no whole multiple of its scale: it has no zero point"
    half = 2 ** (facts.bits - 1)
    if facts.lowest < -half or facts.highest >= half:
        zero = facts.lowest if facts.lowest < -half else facts.highest
        return f"zero point {zero} is not on its grid of {-half}..{half - 1}"
    return None


def exact_in_float16(facts):
    return None if facts.half else "a scale is not exact in float16"


def same_grid(facts, scheme):
    """The layer's bits are those of the scheme, and its groups are that large or a multiple."""
    if facts.bits != scheme.bits:
        return f"it has {facts.bits} bits; {scheme.bits} are due"
    size = scheme.group_size or facts.shape[1]
    if facts.size % size:
        return f"its groups of {facts.size} are no multiple of the {size} of the file"
    return None


def first(*faults):
    """The first sentence there is."""
    return next(filter(None, faults), None)


def one_grid(facts, widths):
    """(bits, group size or None) for all layers: the bits of most, or the next that exist; the smallest groups."""
    [(bits, _)] = collections.Counter(one.bits for one in facts.values()).most_common(1)
    bits = min((width for width in widths if width >= bits), default=max(widths))
    sizes = {one.size for one in facts.values()}
    whole = all(one.size == one.shape[1] for one in facts.values())
    return bits, None if whole else min(sizes)
