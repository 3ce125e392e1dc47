"""Puts the operations of mutascope's numerics into a network of transformers, for as long as a context lasts.

What torch computes in its own way (linear maps, norms, activations, attention, angles of the rotary embedding) is
replaced. What is left of a forward pass are additions, multiplications and copies of elements, which round the same
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from mutascope.core.manifest import STOCK
from mutascope.model.families import family_of, is_known
from mutascope.numerics import cpu
from mutascope.numerics.operations import BY_DEVICE, operations_on

_ACTIVATIONS = {
    **{"SiLUActivation": "silu", "SiLU": "silu", "GELUActivation": "gelu"},
    **{"NewGELUActivation": "gelu_tanh", "GELUTanh": "gelu_tanh"},
}
_EXACT = dict.fromkeys(("ReLU", "ReLU6", "LeakyReLU"))
"""Activations that torch computes in single operations."""
_WHERE_ACTIVATIONS_ARE = ("transformers.activations", "torch.nn.modules.activation")
_ATTENTION = "mutascope"


class Norm(NamedTuple):
    """Arguments of :func:`mutascope.numerics.cpu.norm`."""

    weight: Tensor
    bias: Tensor | None
    epsilon: float
    centred: bool
    early: bool


class Numerics:
    """mutascope's operations on one network: its weights are packed once, and again when they have changed.

    Args:
        network: of an architecture, dtype and device that :func:`refusal` does not name.

    Attributes:
        device: where it is.
        operations: of the device.
        half: whether it is in bfloat16.
    """

    def __init__(self, network: PreTrainedModel) -> None:
        self.device, self.operations = network.device, operations_on(network.device)
        self.half = network.dtype == torch.bfloat16
        self._norm = family_of(network).norm
        self._packed: dict[Hashable, tuple[Any, Any]] = {}
        self._rotary: dict[nn.Module, nn.Module] = {}

    def packed(self, *modules: nn.Module) -> Any:
        """Return the weights of linear modules of one input, one below the other, as they are now."""
        return self.kept(modules, modules, lambda: self.operations.stack(*_matrices(modules)))

    def kept(self, key: Hashable, modules: Sequence[nn.Module], pack: Callable[[], Any]) -> Any:
        """Return what ``pack`` makes of the weights of modules, kept under ``key`` until these change."""
        return self._kept(
            key, [each for module in modules for each in module.parameters(recurse=False)], pack
        )

    def _kept(self, key: Hashable, parameters: Sequence[nn.Parameter], pack: Callable[[], Any]) -> Any:
        # a tensor that was made in inference mode does not count its changes
        state = [(p.data_ptr(), object() if p.is_inference() else p._version) for p in parameters]
        known = self._packed.get(key)
        if known is None or known[0] != state:
            known = self._packed[key] = (state, pack())
        return known[1]

    def norm_of(self, module: nn.Module) -> Norm:
        """Return what a norm module does."""
        weight: Tensor = cpu.floats(module.get_parameter("weight"))
        parts: Any = module
        if self._norm == "rms":
            return Norm(weight, None, parts.variance_epsilon, False, True)
        if self._norm == "rms+1":
            return Norm(1.0 + weight, None, parts.eps, False, False)
        bias = getattr(module, "bias", None)
        return Norm(
            weight, torch.zeros_like(weight) if bias is None else cpu.floats(bias), parts.eps, True, False
        )

    def linear(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """Return what applies a linear module with the weights that it has when it is called."""
        parameters = list(module.parameters(recurse=False))  # slower to find than to look at
        ops = self.operations

        def apply(x: Tensor) -> Tensor:
            packed = self._kept((module,), parameters, lambda: ops.stack(*_matrices([module])))
            return ops.linear(ops.operand(x), packed, half=self.half).to(x.dtype)

        return apply

    def norm(self, norm: Norm, x: Tensor) -> Tensor:
        """Apply a norm module."""
        weight, bias, epsilon, centred, early = norm
        ops = self.operations
        out = ops.norm(ops.operand(x), weight, bias, epsilon, centred=centred, early=early, half=self.half)
        return out.to(x.dtype)

    def activation(self, name: str, x: Tensor) -> Tensor:
        """Apply an activation by its name (:data:`mutascope.numerics.cpu.ACTIVATIONS`)."""
        ops = self.operations
        return ops.activate(ops.operand(x), name, half=self.half).to(x.dtype)

    def rotary(
        self, module: nn.Module, positions: Tensor, layer_type: str | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return cosines and sines at positions [...], float32 [..., features], rounded as the network rounds them;
        computed on the CPU, so that they are the same for all devices.

        Args:
            module: the network's rotary embedding.
            positions: int64.
            layer_type: of the layers that they are for, where these differ.
        """
        if module not in self._rotary:
            with _OwnPower():
                self._rotary[module] = type(module)(module.config)
        prefix = f"{layer_type}_" if layer_type else ""
        frequencies = getattr(self._rotary[module], f"{prefix}inv_freq")
        scaling = getattr(self._rotary[module], f"{prefix}attention_scaling")
        angles = positions[..., None].float().cpu() * frequencies.float()
        cos, sin = (torch.cat((values, values), dim=-1) * scaling for values in cpu.cos_sin(angles))
        if self.half:
            cos, sin = (values.bfloat16().float() for values in (cos, sin))
        return cos.to(positions.device), sin.to(positions.device)

    @contextmanager
    def installed(self, network: PreTrainedModel) -> Iterator[None]:
        """Let a network compute with these operations; what it was before comes back, whatever happens.

        Linear maps may be edited meanwhile, norms may not.
        """
        config: Any = network.config
        with ExitStack() as stack:
            stack.enter_context(cpu.threads_for_kernels())
            capped = getattr(config, "final_logit_softcapping", None)
            head = network.get_output_embeddings() if capped else None
            for module in network.modules():
                forward = _replacement(self, module)
                if forward is not None:
                    stack.callback(_put_back, module, module.__dict__.get("forward"))
                    module.forward = _capped(forward) if module is head else forward
            stack.callback(setattr, config, "_attn_implementation", config._attn_implementation)
            config._attn_implementation = _ATTENTION
            yield


_numerics: WeakKeyDictionary[PreTrainedModel, Numerics] = WeakKeyDictionary()


def numerics_of(network: PreTrainedModel) -> Numerics:
    """Return the numerics of a network, which keep its packed weights as long as it lives where it is."""
    known = _numerics.get(network)
    if known is None or known.device != network.device:
        known = _numerics[network] = Numerics(network)
    return known


def name_of(network: PreTrainedModel) -> str:
    """Return the name of a network's numerics, ``stock`` where it keeps torch's kernels."""
    if refusal(network):
        return STOCK
    name = operations_on(network.device).name_of(network.dtype, network.device)
    assert name is not None, "a network without a name is refused"
    return name


def refusal(network: PreTrainedModel) -> str | None:
    """Return why a network keeps torch's kernels, None where all of its operations are known."""
    if network.device.type not in BY_DEVICE:
        return f"there are no kernels for {network.device.type} devices"
    if not is_known(network):
        return f"{type(network).__name__} has operations that are not known"
    try:
        name = operations_on(network.device).name_of(network.dtype, network.device)
    except ImportError as missing:
        return f"the kernels of {network.device.type} devices need {missing.name}, which is not installed"
    if name is None:
        dtype = str(network.dtype).removeprefix("torch.")
        advice = " (take bfloat16, or float32, which holds the same weights)"
        return f"there are no kernels for {dtype}{advice if dtype == 'float16' else ''}"
    if reason := config_refusal(network.config):
        return reason
    for module in network.modules():
        kind = type(module)
        if kind.__module__.startswith(_WHERE_ACTIVATIONS_ARE) and kind.__name__ not in _ACTIVATIONS | _EXACT:
            return f"the activation {kind.__name__} is not known"
    return None


def config_refusal(config: Any) -> str | None:
    """Return which setting of a known family is not implemented, None where all are."""
    if getattr(config, "use_bidirectional_attention", None):
        return "attention that looks ahead is not implemented"
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    by_layer = [each for each in rope.values() if isinstance(each, dict)]
    changing = {each.get("rope_type") for each in (rope, *by_layer)} & {"dynamic", "longrope"}
    return f"rotary embeddings of type {min(map(str, changing))} depend on the length" if changing else None


def _matrices(modules: Sequence[nn.Module]) -> tuple[list[Tensor], list[Tensor | None]]:
    """Return the weights of linear modules, [outs, ins] each, and their biases."""
    weights = [module.get_parameter("weight") for module in modules]
    matrices = [w.T if isinstance(m, Conv1D) else w for m, w in zip(modules, weights, strict=True)]
    return matrices, [getattr(module, "bias", None) for module in modules]


def _put_back(module: nn.Module, forward: Callable[..., Any] | None) -> None:
    """Give a module the ``forward`` that it had of its own, or none: an interrupt may come before it is replaced."""
    module.__dict__.pop("forward", None)
    if forward is not None:
        module.forward = forward


def _replacement(numerics: Numerics, module: nn.Module) -> Callable[..., Any] | None:
    """Return what replaces a module's forward, None where it stays."""
    name = type(module).__name__
    if isinstance(module, nn.Linear | Conv1D):
        return numerics.linear(module)
    if name.endswith("RMSNorm") or isinstance(module, nn.LayerNorm):
        return partial(numerics.norm, numerics.norm_of(module))
    if name in _ACTIVATIONS:
        return partial(numerics.activation, _ACTIVATIONS[name])
    if name.endswith("RotaryEmbedding"):

        def rotary(x: Tensor, position_ids: Tensor, layer_type: str | None = None) -> tuple[Tensor, Tensor]:
            cos, sin = numerics.rotary(module, position_ids, layer_type)
            return cos.to(x.dtype), sin.to(x.dtype)

        return rotary
    return None


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    position_ids: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of one row, causal, as transformers calls it: query [1, n_heads, tokens, head_dim], keys and values so
    far [1, n_kv_heads, positions, head_dim]; returns [1, tokens, n_heads, head_dim].
    """
    ops = operations_on(query.device)
    q, k, v = (ops.operand(some[0]) for some in (query, key, value))
    window = sliding_window or k.shape[1]
    heads = cpu.Heads(len(q), len(k), q.shape[2], scaling or q.shape[2] ** -0.5, window, softcap or 0.0)
    first = 0
    if sliding_window is not None and position_ids is not None:  # its cache forgets
        first = int(position_ids[0, -1]) + 1 - k.shape[1]
    out = ops.attend_alone(q, k, v, heads, first=first, half=query.dtype == torch.bfloat16)
    return out[None].to(query.dtype), None


AttentionInterface.register(_ATTENTION, _attention)


class _Logits(Tensor):
    """Logits before their soft-cap, for which a network calls ``torch.tanh``."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.tanh:
            return super().__torch_function__(func, types, args, kwargs)
        shares = args[0].as_subclass(Tensor)
        return operations_on(shares.device).tanh(cpu.floats(shares)).to(shares.dtype)


def _capped(head: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return an output head whose logits will be capped."""
    return lambda x: head(x).as_subclass(_Logits)


class _OwnPower(TorchFunctionMode):
    """The frequencies of a rotary embedding are powers of a number, which torch rounds otherwise on other
    processors.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__rpow__:  # base ** exponents
            return cpu.power(float(args[1]), args[0].float())
        if func is torch.pow and isinstance(args[0], int | float):
            return cpu.power(float(args[0]), args[1].float())
        return func(*args, **(kwargs or {}))
