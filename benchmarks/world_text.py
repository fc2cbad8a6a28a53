"""Text of the small world for recipes/small_world.toml: python -m benchmarks.world_text FOLDER

train.txt holds stories that the model of the package was not trained on, valid.txt those that it was validated on.
"""

import pathlib
import sys

from refq.jobs.pretrain import HELD_OUT
from refq.jobs.text import SEPARATOR
from refq.world.stories import story

TEXTS = {"train.txt": (1, 0, 12_000), "valid.txt": (0, HELD_OUT, 500)}  # seed, first number, stories


def main(folder):
    for name, (seed, first, count) in TEXTS.items():
        told = (story(seed, number) for number in range(first, first + count))
        pathlib.Path(folder, name).write_text(f"\n{SEPARATOR}\n".join(told) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
