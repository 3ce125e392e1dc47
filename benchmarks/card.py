"""A benchmark of a card: its steps, what they share, and models of random weights."""

from __future__ import annotations

import gc
import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig

from mutascope import load_model
from mutascope.assays.assay import resolve_generation
from mutascope.assays.loading import load_assay
from mutascope.core.genome import Mutant
from mutascope.core.protocol import Generation, Output, Prompt
from mutascope.engine.session import FastSession
from mutascope.model import generation
from mutascope.model.discovery import find_genome
from mutascope.model.loading import Model

SMOKE = "--smoke" in sys.argv
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_SMALL: dict[str, Any] = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
}
_SEVEN: dict[str, Any] = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}
CONFIGS: dict[str, Any] = {
    "smollm2": LlamaConfig(**_SMALL, num_hidden_layers=30, vocab_size=49152, tie_word_embeddings=True),
    "llama-2-7b": LlamaConfig(**_SEVEN, intermediate_size=11008),
    "zephyr": MistralConfig(**_SEVEN, intermediate_size=14336, num_key_value_heads=8, sliding_window=4096),
    "tiny": LlamaConfig(
        hidden_size=32, intermediate_size=48, num_attention_heads=2, num_hidden_layers=2, vocab_size=61
    ),
}
PROMPT = (1, 45, 7, 22, 31, 16, 9)
"""Token ids that all of the models have."""


@dataclass
class Screened:
    """A screen that was made.

    Attributes:
        model, tile, session: of it.
        mutants: that were asked for.
        said: what those that were done put out.
    """

    model: Model
    tile: int
    session: FastSession
    mutants: list[Mutant]
    said: dict[Mutant, tuple[Output, ...]]


@dataclass
class Run:
    """A benchmark underway.

    Attributes:
        device: that is measured.
        small: folder of the small model, if any.
        seconds: that all steps may take together.
        json: gets the results.
        memory: GB of the card that are used at most; the rest is held. None uses all.
        found: results, by step.
        said: what mutants of the small model in float32 put out.
        last: the last screen.
        begun: when it started.
    """

    device: torch.device
    small: Path | None
    seconds: float
    json: Path | None
    memory: float | None = None
    found: dict[str, Any] = field(default_factory=dict)
    said: dict[Mutant, tuple[Output, ...]] = field(default_factory=dict)
    last: Screened | None = None
    begun: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.held = torch.empty(0, dtype=torch.uint8)
        if self.memory and self.device.type == "cuda":
            more = torch.cuda.get_device_properties(self.device).total_memory - int(self.memory * 1e9)
            self.held = torch.empty(max(0, more), dtype=torch.uint8, device=self.device)

    def step(self, name: str, share: float, work: Callable[[float], dict[str, Any]]) -> None:
        """Run a step that may take a share of the time; print and keep what it finds beside what others of its name
        have found, or why it failed.
        """
        start = time.perf_counter()
        left = self.seconds - (start - self.begun)
        try:
            found = work(min(share * self.seconds, left)) if left > 5 else {"skipped": "no time is left"}
        except Exception as error:
            traceback.print_exc()
            found = {"failed": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}
        before, spent = self.found.get(name, {}), time.perf_counter() - start
        self.found[name] = {**before, **found, "seconds": round(before.get("seconds", 0) + spent, 1)}
        print(name, json.dumps(self.found[name]), flush=True)
        if self.json:
            self.json.write_text(json.dumps(self.found, indent=1))
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def screened(self) -> Screened:
        """Return the last screen, or raise ValueError."""
        if self.last is None:
            raise ValueError("nothing was screened before")
        return self.last

    def synchronize(self) -> None:
        """Wait for the card."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def peak(self) -> float:
        """Return the most memory that was used since the last call, in GB."""
        if self.device.type != "cuda":
            return 0.0
        most = (torch.cuda.max_memory_allocated(self.device) - self.held.nbytes) / 1e9
        torch.cuda.reset_peak_memory_stats(self.device)
        return round(most, 2)

    def random_model(self, name: str, dtype: str, layers: int | None = None) -> Model:
        """Return a model of random weights that are made on the device."""
        config = CONFIGS["tiny" if SMOKE else name]
        if layers and not SMOKE:
            config = type(config)(**{**config.to_dict(), "num_hidden_layers": layers})
        torch.manual_seed(0)
        with torch.device(self.device):
            network = AutoModelForCausalLM.from_config(config, dtype=DTYPES[dtype])
        network.eval().requires_grad_(False)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.ndim == 2:
                    parameter.normal_(std=1.5 / parameter.shape[1] ** 0.5)
        generation.reset(network)
        none: Any = None
        return Model(name, network, none, "", find_genome(network))

    def small_model(self, dtype: str) -> Model:
        """Return the small model, of the folder where there is one."""
        if self.small:
            return load_model(str(self.small), dtype=dtype, device=str(self.device))
        return self.random_model("smollm2", dtype)


def ask(model: Model, steps: int) -> tuple[list[Prompt], Generation]:
    """Return a prompt and how a model answers it: drosophila, or of random weights at temperature 0.7, top-k 50."""
    if model.tokenizer is not None:
        assay = load_assay("drosophila", max_new_tokens=steps, max_length=None).resolve(model)
        return list(assay.prompts), assay.readout
    arguments = {"max_new_tokens": steps, "do_sample": True, "temperature": 0.7, "top_k": 50}
    prompt = Prompt("", PROMPT)
    resolved = resolve_generation(model, arguments, len(prompt.tokens))
    return [prompt], Generation(0, arguments, resolved)
