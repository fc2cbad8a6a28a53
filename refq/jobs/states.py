"""Hidden states between two blocks: in memory up to a budget, beyond it in files that are mapped."""

import os

import numpy as np


class States:
    """Makes arrays (sequences, T, D) that share a budget of bytes."""

    def __init__(self, folder, budget):
        self.folder, self.left, self.made = folder, budget, 0

    def array(self, shape):
        """A float32 array of this shape, in memory while the budget lasts."""
        needed = 4 * int(np.prod(shape))
        if needed <= self.left:
            self.left -= needed
            return np.empty(shape, np.float32)
        self.made += 1
        return np.memmap(os.path.join(self.folder, f"states-{self.made}"), np.float32, "w+", shape=shape)

    def copy(self, states):
        """Another array with the same numbers."""
        found = self.array(states.shape)
        for row, x in enumerate(states):
            found[row] = x
        return found
