"""refq: a readable reference of low-bit language models. Every public name has a section in SPEC.md."""

from refq import analysis, grids, models, ops, ranges, solvers, training, transforms
from refq.analysis import *  # noqa: F403
from refq.grids import *  # noqa: F403
from refq.models import *  # noqa: F403
from refq.models import LlamaDecoder as LlamaDecoder
from refq.ops import *  # noqa: F403
from refq.ops import CodebookWeight as CodebookWeight
from refq.ops import PackedWeight as PackedWeight
from refq.ranges import *  # noqa: F403
from refq.solvers import *  # noqa: F403
from refq.training import *  # noqa: F403
from refq.transforms import *  # noqa: F403

__version__ = "0.1.0"

__all__ = [
    *grids.__all__,
    *ranges.__all__,
    *ops.__all__,
    *models.__all__,
    *solvers.__all__,
    *transforms.__all__,
    *training.__all__,
    *analysis.__all__,
]
