"""refq import: a model that another program quantized, in the format of refq quantize."""

import click

from refq.app import export_gguf, options
from refq.app.export import requantize, write
from refq.errors import UsageError
from refq.files.gguf import is_gguf
from refq.files.onnx import is_onnx
from refq.jobs.export import export_model
from refq.jobs.formats import OURS


@click.command("import")
@click.argument("model", metavar="FILE_OR_DIR", type=options.ModelDirectory(".gguf", ".onnx"))
@click.argument("out", type=click.Path())
@requantize
@options.engine
@options.threads
@options.resume
@options.overwrite
@options.as_json
def command(model, out, requantize, engine, threads, resume, overwrite, as_json):
    """Write a model that another program quantized into the new directory OUT, as `refq quantize` does.

    Codes, scales and zero points stay the same, and are compared after reading OUT back. Columns in another order than
    the inputs (desc_act) stay so: OUT is then in a format of our own that refq alone reads. Of a GGUF file Q4_0, Q5_0
    and Q8_0, and Q4_1 whose minima are whole steps, keep their codes; other types become the floats that they stand
    for. An ONNX file is one of `refq export`, which ONNX Runtime's quantizer may have been at since.
    """
    if requantize and (is_gguf(model) or is_onnx(model)):
        raise UsageError("--requantize is of directories: what of a file is no grid of ours stays or becomes float")
    if is_gguf(model):
        export_gguf.read(model, out, engine, threads, (resume, overwrite), as_json)
        return
    job, asked = export_model, ("refq", OURS, requantize, resume, overwrite)
    if is_onnx(model):
        from refq.jobs.onnx_import import import_onnx as job

        asked = (resume, overwrite)
    write(job, model, out, engine, threads, asked, as_json)
