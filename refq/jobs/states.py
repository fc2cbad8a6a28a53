"""Hidden states between two blocks: in memory up to a budget, beyond it in files that are mapped."""

import os

import numpy as np

from refq.jobs import output


class States:
    """Makes arrays (sequences, T, D) that share a budget of bytes."""

    def __init__(self, folder, budget):
        self.folder, self.left, self.made, self.copied = folder, budget, 0, None

    def array(self, shape):
        """A float32 array of this shape, in memory while the budget lasts."""
        needed = 4 * int(np.prod(shape))
        if needed <= self.left:
            self.left -= needed
            return np.empty(shape, np.float32)
        self.made += 1
        path = os.path.join(self.folder, f"states-{self.made}")
        with output.allocated(path, needed):  # a full disk is told here: who writes to a mapped file is killed by it
            return np.memmap(path, np.float32, "r+", shape=shape)

    def spare(self, states):
        """A copy of the states, in the one array there is for it: who asks again writes over the last copy."""
        if self.copied is None:
            self.copied = self.array(states.shape)
        for row, x in enumerate(states):
            self.copied[row] = x
        return self.copied
