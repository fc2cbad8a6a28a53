"""What a model of PyTorch makes of its weights and of tokens."""

import torch

torch.set_num_threads(1)


def rows(model):
    """Function, layer -> the weight that its own forward multiplies by: what it gives for the identity."""

    def weight(layer):
        module = model.get_submodule(layer)
        eye = torch.eye(module.in_features, dtype=model.dtype)
        with torch.no_grad():
            return module(eye).T.numpy()

    return weight


def logits(model):
    """Function, windows -> logits."""

    def run(windows):
        with torch.no_grad():
            parts = [model(torch.from_numpy(window[None]).long()).logits.float() for window in windows]
        return torch.cat(parts).numpy()

    return run


def described(model, layer):
    """The class of a layer and the type of its inputs."""
    return f"{type(model.get_submodule(layer)).__name__}, {str(model.dtype).removeprefix('torch.')}"
