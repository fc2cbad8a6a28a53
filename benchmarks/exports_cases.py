"""Which models are exported in which formats, and how each program is asked to load them."""

from typing import NamedTuple


class Case(NamedTuple):
    """An export: the model, options of refq quantize (none: the float model), --to, and --type of a GGUF file."""

    model: str
    quantize: tuple
    to: str
    kind: str | None = None

    one_file = property(lambda case: case.to in ("gguf", "onnx"))
    symmetric = property(lambda case: "--asymmetric" not in case.quantize)
    mixed = property(lambda case: "--fallback" in case.quantize)

    @property
    def slug(self):
        """A name for its folder."""
        return "-".join([self.model, *(part.strip("-").removesuffix(".*") for part in self.quantize)])

    @property
    def grid(self):
        """Its grids in words."""
        if not self.quantize:
            return "float"
        _, bits, _, size, kind, *more = self.quantize
        said = f"{bits} bits, {size}, {kind.strip('-')}"
        if self.mixed:
            return f"{said}; rows where {size} does not divide"
        kept = [value for option, value in zip(more[::2], more[1::2], strict=True) if option == "--keep"]
        return f"{said}; {', '.join(kept)} float" if kept else said


def runs(case, program):
    """Settings of every load of a case by a program."""
    if case.to == "compressed-tensors" and not case.symmetric:  # transformers reads packed zero points only so
        found = {"transformers": [FLOAT32 | {"dequantize": True}]}
        return (found | ({"compressed_tensors": [FLOAT32]} if case.mixed else {})).get(program, [])
    return LOADED[case.to].get(program, [])


FLOAT32, FLOAT16 = {"dtype": "float32"}, {"dtype": "float16"}
LOADED = {
    "compressed-tensors": {"transformers": [FLOAT32]},
    "mlx": {"mlx_lm": [FLOAT32]},
    "onnx": {"onnxruntime": [FLOAT32]},
    "gguf": {"llama_cpp": [FLOAT32], "transformers": [FLOAT32]},
}
LOADED |= dict.fromkeys(("gptq", "gptq_v2", "awq"), {"gptqmodel": [FLOAT16, FLOAT32], "optimum": [FLOAT16]})
# what these programs do not load, by what they say; everything else that fails is wrong
LIMITS = {
    ("transformers", "automatic conversion of the weights"): "its loader dequantizes all layers by one scheme",
    ("gptqmodel", "Loading of a sym=False model with format=FORMAT.GPTQ"): "it asks for its own name in such a file",
    ("optimum", "expect qGroupSize to be 32, 64, 128 or 256"): "the kernel that it takes knows no groups of 172",
}


def _grids(bits, *sizes):
    for size in sizes:
        for kind in ("--symmetric", "--asymmetric"):
            yield "--bits", bits, "--group-size", size, kind


DIRECTORIES = ("compressed-tensors", "gptq", "gptq_v2", "awq", "mlx")
BITS = {"awq": ("4",), "gguf": ("4", "8")}
BLOCKS = {"4": "q4_0", "8": "q8_0"}
TYPES = ("f32", "f16", "q4_0", "q4_1", "q8_0", "q4_k", "q6_k")
WORLD = [*_grids("4", "32", "64"), *_grids("8", "channel"), *_grids("3", "64"), *_grids("2", "64")]
# stories260K is 64 wide, and 172 within its mlp: words of eight codes do not hold that, nor do groups of 32
FITS = dict.fromkeys(("gptq", "gptq_v2", "awq"), ("--keep", "mlp.*"))
FITS |= dict.fromkeys(("mlx", "gguf"), ("--keep", "down_proj"))
FITS |= dict.fromkeys(("compressed-tensors", "onnx"), ("--fallback", "channel"))


def _cases():
    for grid in WORLD:
        for to in (*DIRECTORIES, "gguf", "onnx"):
            if grid[1] in BITS.get(to, grid[1]):
                yield Case("world", grid, to, BLOCKS[grid[1]] if to == "gguf" else None)
    for grid in _grids("4", "32"):
        for to, fit in FITS.items():
            yield Case("stories260K", grid + fit, to, "q4_0" if to == "gguf" else None)
    for grid in _grids("8", "channel"):
        for to in ("compressed-tensors", "gptq", "gptq_v2", "onnx"):
            yield Case("stories260K", grid, to)
    for grid in _grids("4", "channel"):
        yield Case("stories260K", grid, "compressed-tensors")
        yield Case("stories260K", (*grid, "--keep", "gate_proj", "--keep", "up_proj"), "awq")
    for model in ("world", "stories260K"):
        for kind in TYPES:
            yield Case(model, (), "gguf", kind)
        yield Case(model, (), "onnx")


CASES = sorted(_cases(), key=lambda case: (*DIRECTORIES, "gguf", "onnx").index(case.to))
