"""Fixtures of the tests of numbers."""

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def quiet():
    """Overflow and NaN are part of what is tested."""
    with np.errstate(all="ignore"):
        yield


@pytest.fixture
def threads():
    """Sets the number of threads, until the test is over."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
