import pytest
import torch
from torch.nn import functional as F

from mutascope.engine.products import fastest_product, onednn


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
@pytest.mark.parametrize("shape", [(1, 40), (7, 40), (3, 5, 40)])
@pytest.mark.parametrize("biased", [False, True])
def test_onednn_gives_the_same_linear_map(shape, biased):
    draw = torch.Generator().manual_seed(0)
    x, weight = torch.randn(shape, generator=draw), torch.randn(24, 40, generator=draw)
    bias = torch.randn(24, generator=draw) if biased else None
    assert torch.allclose(onednn(x, weight, bias), F.linear(x, weight, bias), atol=1e-4)


def test_the_faster_one_is_taken_for_float32_alone():
    assert fastest_product(torch.randn(64, 64)) in (F.linear, onednn)
    assert fastest_product(torch.randn(64, 64, dtype=torch.float64)) is F.linear


def test_the_slower_one_is_not_taken(monkeypatch):
    seconds = {F.linear: 2.0, onednn: 1.0}
    monkeypatch.setattr("mutascope.engine.products._seconds", lambda product, x, weight: seconds[product])
    assert fastest_product(torch.randn(64, 64)) is onednn
    seconds[onednn] = 3.0
    assert fastest_product(torch.randn(64, 64)) is F.linear
