"""The threads of the kernels: whoever calls them, from wherever, gets the same bits and is not kept waiting."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from mutascope.numerics import cpu


@pytest.fixture
def multiply():
    """Returns a product that is large enough for two threads, which the kernels are given."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(rows, 300, generator=generator) for rows in (99, 256))
    packed = cpu.pack(weight)
    yield lambda: cpu.linear(x, packed)
    torch.set_num_threads(before)


def test_calls_from_several_threads_at_once_give_the_same_bits(multiply):
    expected = multiply()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: multiply(), range(60)))
    assert all(torch.equal(result, expected) for result in results)


def test_threads_for_kernels_are_taken_from_torch_and_given_back(multiply):
    expected = multiply()
    with cpu.threads_for_kernels():
        assert torch.get_num_threads() == 1
        assert torch.equal(multiply(), expected)
        with cpu.threads_for_kernels():
            assert torch.equal(multiply(), expected)
    assert torch.get_num_threads() == 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(multiply):
    """Again and again, with pauses in which the threads fall asleep, as they had when the process was forked."""
    expected = multiply()
    time.sleep(0.02)
    child = os.fork()
    if not child:
        same = True
        for _ in range(6):
            same &= torch.equal(multiply(), expected)
            time.sleep(0.01)
        os._exit(0 if same else 1)
    end = time.monotonic() + 20
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the forked process waits for threads that it does not have")
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
