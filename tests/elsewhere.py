"""A second device without one: tensors that say that they lie on ``meta`` and hold numbers, and operations that
refuse, as those of a card do, a tensor of theirs beside one of the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

ELSEWHERE = torch.device("meta")
_INDICES = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default, torch.ops.aten.index_put.default}
"""A card takes the indices of these from the CPU, too."""
_COPIES = {torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default}


class Elsewhere(Tensor):
    """A tensor that lies elsewhere."""

    held: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Any:
        made = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), dtype=inner.dtype, device=ELSEWHERE
        )
        made.held = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Makes tensors elsewhere where that is asked for."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def unwrap(each: Any) -> Any:
    """Return the numbers of what may be a tensor elsewhere."""
    return each.held if isinstance(each, Elsewhere) else each


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    flat, _ = tree_flatten((args, kwargs))
    tensors = [each for each in flat if isinstance(each, Tensor)]
    here = [each for each in tensors if not isinstance(each, Elsewhere) and each.ndim]
    there = len(here) < len(tensors) and any(isinstance(each, Elsewhere) for each in tensors)
    if there and here and func not in _INDICES | _COPIES:
        raise RuntimeError(f"{func}: tensors on the CPU and elsewhere")
    if func is torch.ops.aten._local_scalar_dense.default:
        return unwrap(args[0]).item()
    asked = kwargs.get("device")
    if asked is not None:
        there, kwargs = torch.device(asked) == ELSEWHERE, {**kwargs, "device": torch.device("cpu")}
    if func in _COPIES and func is torch.ops.aten.copy_.default:
        there = isinstance(args[0], Elsewhere)
    done = func(*tree_map(unwrap, args), **tree_map(unwrap, kwargs))
    if str(func).split(".")[1].endswith("_") and there:
        return args[0]
    return tree_map(lambda each: Elsewhere(each) if there and isinstance(each, Tensor) else each, done)


def move(network: nn.Module) -> None:
    """Move the parameters and buffers of a network elsewhere."""
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(Elsewhere(parameter.detach()), requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, Elsewhere(buffer))


class _Literals(TorchFunctionMode):
    """Makes tensors of lists elsewhere: those never come to the other mode."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") == ELSEWHERE:
            return Elsewhere(func(unwrap(args[0]), **{**kwargs, "device": "cpu"}))
        if func is Tensor.tolist:
            args = (unwrap(args[0]),)
        return func(*args, **kwargs)


@contextmanager
def elsewhere() -> Iterator[None]:
    """Within it, tensors can be made and moved elsewhere."""
    with _Literals(), _Mode():
        yield
