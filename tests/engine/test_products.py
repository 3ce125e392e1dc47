import pytest
import torch
from torch.nn import functional as F

from mutascope.engine import products
from mutascope.engine.kernels import kernels
from mutascope.engine.products import default, fastest_product, onednn, packed


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
@pytest.mark.parametrize("shape", [(1, 40), (7, 40), (3, 5, 40)])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("product", [onednn, packed])
def test_all_products_give_the_same_linear_map(product, shape, biased):
    if product is packed and not kernels():
        pytest.skip("no compiler")
    draw = torch.Generator().manual_seed(0)
    x, weight = torch.randn(shape, generator=draw), torch.randn(24, 40, generator=draw)
    bias = torch.randn(24, generator=draw) if biased else None
    assert torch.allclose(product(weight, bias)(x), F.linear(x, weight, bias), atol=1e-4)


def test_the_fastest_one_is_taken_for_float32_alone():
    assert fastest_product(torch.randn(64, 64)) in (default, onednn, packed)
    assert fastest_product(torch.randn(64, 64, dtype=torch.float64)) is default


def test_copies_are_made_only_where_there_is_memory_for_them(monkeypatch):
    asked = []
    monkeypatch.setattr(
        products, "_seconds", lambda maps, cols: asked.append(set(maps)) or dict.fromkeys(maps, 1)
    )
    for may_copy in (True, False):
        fastest_product(torch.randn(64, 64), may_copy)
    assert packed not in asked[1]
    assert asked[0] - asked[1] == ({packed} if kernels() else set())


@pytest.mark.parametrize(
    "seconds, taken",
    [
        ((2.0, 1.0, 3.0), onednn),
        ((1.1, 1.0, 3.0), default),
        ((1.1, 1.0, 1.05), packed),
        ((3.0, 1.0, 1.3), onednn),
    ],
)
def test_onednn_must_be_clearly_faster(monkeypatch, seconds, taken):
    if not kernels():
        pytest.skip("no compiler")
    times = dict(zip((default, onednn, packed), seconds, strict=True))
    monkeypatch.setattr(products, "_seconds", lambda maps, cols: times)
    assert fastest_product(torch.randn(64, 64)) is taken
