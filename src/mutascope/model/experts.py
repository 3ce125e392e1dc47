"""The loci of a mixture of experts: a matrix of every expert, within parameters that stack them, and the router.

How a module of transformers lays out its experts it says itself: ``is_transposed`` ([input, output] for every expert),
``is_concatenated`` (the gate's outputs, then those of what it gates; else in turns) and ``has_gate``. What does not say
it is known by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from torch import nn

from mutascope.core.genome import Locus

_ROUTERS = ("gate", "router")
"""What the module that chooses experts is called, beside them."""


class Stack(NamedTuple):
    """A parameter that holds a matrix of every expert.

    Attributes:
        parameter: its name in the module.
        kinds: of loci that it holds.
        transposed: the matrix of an expert is [input, output].
        interleaved: the outputs of two kinds come in turns, not one kind after the other.
    """

    parameter: str
    kinds: tuple[str, ...]
    transposed: bool = False
    interleaved: bool = False


_STACKS = {
    "Llama4TextExperts": (Stack("gate_up_proj", ("gate", "up"), True), Stack("down_proj", ("down",), True)),
    "DbrxExpertGLU": (Stack("w1", ("gate",)), Stack("v1", ("up",)), Stack("w2", ("down",), True)),
    "JetMoeMoE": (Stack("input_linear.weight", ("gate", "up")), Stack("output_linear.weight", ("down",))),
    "JetMoeMoA": (Stack("input_linear.weight", ("q",)), Stack("output_linear.weight", ("o",))),
}
"""By class, where a module does not say how it lays out its experts."""


def expert_loci(layer: int, prefix: str, module: nn.Module) -> Iterator[Locus]:
    """Yield the loci ``gate.e0``, ``gate.e1``, ... of a module that holds experts; none of another one.

    Args:
        layer: index of the layer.
        prefix: qualified name of the module.
        module: any module of the layer.
    """
    for stack in _stacks(module):
        weight = module.get_parameter(stack.parameter)
        number = len(weight) if weight.ndim == 3 else _number(module)
        outs, ins = len(weight.view(number, -1, weight.shape[-1])[0]), weight.shape[-1]
        rows, cols = (ins, outs) if stack.transposed else (outs, ins)
        whole = Locus(
            layer, "", rows // len(stack.kinds), cols, f"{prefix}.{stack.parameter}", stack.transposed
        )
        for place, kind in enumerate(stack.kinds):
            yield from (
                replace(_part(whole, stack, place), kind=f"{kind}.e{index}", expert=(index, number))
                for index in range(number)
            )


def router_locus(layer: int, prefix: str, block: nn.Module, name: str) -> Locus | None:
    """Return the router of the experts of a layer: the one matrix of the module that is called so beside them.

    Args:
        layer: index of the layer.
        prefix: qualified name of the layer.
        block: the layer.
        name: of the module that holds the experts, in the layer.
    """
    places = [name.split(".")[:depth] for depth in range(name.count(".") + 2)]
    for parts in reversed(places):
        for router in _ROUTERS:
            path = ".".join((*parts, router))
            matrices = _matrices(block, path)
            if len(matrices) == 1:
                ((parameter, shape),) = matrices
                return Locus(layer, "router", *shape, f"{prefix}.{path}.{parameter}")
    return None


def _matrices(block: nn.Module, path: str) -> list[tuple[str, tuple[int, int]]]:
    """Return the names and shapes of the matrices of a module of a layer; none where there is no such module."""
    try:
        module = block.get_submodule(path)
    except AttributeError:
        return []
    found = [(name, tuple(parameter.shape)) for name, parameter in module.named_parameters()]
    return [(name, (shape[0], shape[1])) for name, shape in found if len(shape) == 2 and min(shape) > 1]


def _stacks(module: nn.Module) -> tuple[Stack, ...]:
    told: Any = module
    if not hasattr(module, "is_concatenated"):
        return _STACKS.get(type(module).__name__, ())
    turned, in_turns = told.is_transposed, not told.is_concatenated
    first = (
        Stack("gate_up_proj", ("gate", "up"), turned, in_turns)
        if told.has_gate
        else Stack("up_proj", ("up",), turned)
    )
    return first, Stack("down_proj", ("down",), turned)


def _number(module: nn.Module) -> int:
    told: Any = module
    return int(told.moe_num_experts)


def _part(whole: Locus, stack: Stack, place: int) -> Locus:
    """Return the locus of one of the kinds of a stack."""
    kinds = len(stack.kinds)
    if kinds == 1:
        return whole
    if stack.interleaved:
        return replace(whole, offset=place, block=1, period=kinds)
    return replace(whole, offset=place * whole.rows, block=whole.rows, period=whole.rows)
