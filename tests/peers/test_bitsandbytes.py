"""Does bitsandbytes give the same product? Its operations on float32, on a CPU, where it is installed."""

import numpy as np
import pytest

from tests.support import both

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]  # its warnings are its own
torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")

CONSTANT = (
    6.200124e-05  # in its source, for 1 / 127**2, which is 6.20001240e-05: its products of codes are 1.8e-5 larger
)


@both
@pytest.mark.parametrize("outliers", [0, 1, 5])
def test_llm_int8_matmul(engine, outliers):
    random = np.random.default_rng(outliers)
    x, w = random.standard_normal((33, 200)), random.standard_normal((70, 200)).astype(np.float32)
    x = np.clip(x, -5, 5)
    x[::3, random.choice(200, outliers, replace=False)] *= 30
    x = torch.from_numpy(x.astype(np.float32))
    tool = torch.ops.bitsandbytes
    q, reach, _ = tool.int8_vectorwise_quant(torch.from_numpy(w))
    codes, steps, columns = tool.int8_vectorwise_quant(x.clone(), threshold=6.0)
    theirs, _ = tool.int8_mixed_scaled_mm(x, codes, q, steps, reach, columns)
    assert len(columns) == outliers
    part = tool.int8_scaled_mm(codes, q, steps, reach, dtype=torch.float32)
    theirs = theirs + part * (127**-2 / CONSTANT - 1)
    scale = (reach.numpy() / np.float32(127))[:, None]
    ours = engine.llm_int8_matmul(x.numpy(), q.numpy(), scale, 6.0)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=3e-6 * np.abs(ours).max())
