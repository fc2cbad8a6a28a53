"""Every format that `refq export` writes as a directory, by its name."""

from refq.jobs.targets import awq, compressed_tensors, gptq, mlx

DIRECTORIES = {
    "compressed-tensors": compressed_tensors.target(),
    "gptq": gptq.target(1),
    "gptq_v2": gptq.target(2),
    "awq": awq.target(),
    "mlx": mlx.target(),
}
OURS = compressed_tensors.target(any_order=True)  # what `refq import` writes
