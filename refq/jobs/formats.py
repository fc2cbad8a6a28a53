"""Every format that `refq export` writes as a directory, by its name."""

from refq.jobs.targets import compressed_tensors, gptq

DIRECTORIES = {
    "compressed-tensors": compressed_tensors.target(),
    "gptq": gptq.target(1),
    "gptq_v2": gptq.target(2),
}
OURS = compressed_tensors.target(any_order=True)  # what `refq import` writes
