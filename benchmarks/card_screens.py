"""Screens on a card: how fast, where the time goes, and whether other engines and batches say the same."""

from __future__ import annotations

import time
from typing import Any

import torch
from benchmarks.bits import logits_of
from benchmarks.card import Run, Screened, ask
from torch import Tensor

from mutascope import Design, Tiling
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.loading import Model

_BEGINNING = 24
"""Tokens that are compared with the reference engine's."""
_TOGETHER = 4
"""Mutants whose logits are compared in one batch."""
_KERNELS = 16
"""Kernels of a profile that are named."""


def screen(
    run: Run, model: Model, tile: int, count: int, steps: int, seconds: float, rate: float | None
) -> dict[str, Any]:
    """Mutants on the fast engine: milliseconds each, share of the card's rate, memory."""
    run.peak()
    begun = time.perf_counter()
    prompts, readout = ask(model, steps)
    mutants = Design(sample=max(1, count // 2)).plan(model.genome, Tiling(tile)).mutants()
    session = FastEngine(model, Tiling(tile)).prepare(prompts, readout)
    warmed = min(len(mutants) // 4, 2 * session.verified)
    for _ in session.run(mutants[:warmed]):
        pass
    run.synchronize()
    prepared, flop = time.perf_counter() - begun, session.flop
    before, start, silent, said = dict(vars(session.account)), time.perf_counter(), 0, {}
    for outcome in session.run(mutants[warmed:]):
        said[outcome.mutant] = outcome.outputs
        silent += outcome.outputs == session.wild_type
        if time.perf_counter() - start > seconds - prepared:
            break
    run.synchronize()
    spent = time.perf_counter() - start
    speed = (session.flop - flop) / spent / 1e12
    run.last = Screened(model, tile, session, mutants, said)
    if model.network.dtype == torch.float32 and tile < 64:
        run.said = said
    return {
        **{"mutants": len(said), "silent": silent, "tokens": steps, "prepared_s": round(prepared, 1)},
        "ms_a_mutant": round(1e3 * spent / (len(said) + session.underway), 3),
        **{"tflops": round(speed, 2), "share": round(speed / rate, 3) if rate else None},
        **{"batch": session.max_batch, "verified": session.verified, "peak_gb": run.peak()},
        "where": {name: round(value - before[name], 2) for name, value in vars(session.account).items()},
    }


def profiled(run: Run, seconds: float) -> dict[str, Any]:
    """The kernels of a batch of the last screen: milliseconds and launches of those that take most, and of all."""
    done, start = run.screened(), time.perf_counter()
    if run.device.type != "cuda":
        return {"skipped": "there is no card"}
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        for _ in done.session.run(done.mutants[: done.session.max_batch]):
            if time.perf_counter() - start > seconds / 2:
                break
        run.synchronize()
        spent = time.perf_counter() - start
    kernels = [(each.self_device_time_total / 1e3, each.count, each.key) for each in seen.key_averages()]
    return {
        **{"wall_ms": round(1e3 * spent), "busy_ms": round(sum(each[0] for each in kernels))},
        "launches": sum(each[1] for each in kernels),
        "kernels": [
            {"ms": round(ms, 1), "launches": launches, "name": name[:60]}
            for ms, launches, name in sorted(kernels, reverse=True)[:_KERNELS]
        ],
    }


def agreement(run: Run, seconds: float) -> dict[str, Any]:
    """Mutants of the last screen on the reference engine, with the logits of their beginnings, and in batches of 7."""
    done, start = run.screened(), time.perf_counter()
    some = list(done.said)[:: max(1, len(done.said) // 200)]
    beginning = min(_BEGINNING, done.session.asked[0].steps)
    engine, (prompts, readout) = FastEngine(done.model, Tiling(done.tile)), ask(done.model, beginning)
    (prompt,) = prompts
    compared = equal = steps = alike = 0
    while compared < len(some) and time.perf_counter() - start < 0.75 * seconds:
        now, texts, truths = some[compared : compared + _TOGETHER], [], []
        for mutant in now:
            record: list[Tensor] = []
            with engine.mutagen.mutated(mutant):
                output = engine.reference.generate(prompt, readout, record)
            equal += output.tokens == done.said[mutant][0].tokens[:beginning]
            texts.append((*prompt.tokens, *output.tokens)[: len(prompt.tokens) + len(record) - 1])
            truths.append(torch.stack(record))
        for own, truth in zip(logits_of(engine, now, texts, len(prompt.tokens)), truths, strict=True):
            steps += len(truth)
            alike += int(((own == truth) | (own.isnan() & truth.isnan())).all(-1).sum())
        compared += len(now)
    spent = time.perf_counter() - start
    session, few = done.session, {}
    session.max_batch = session.verified = session.cohort = 7
    for outcome in session.run(some):
        few[outcome.mutant] = outcome.outputs
        if time.perf_counter() - start > seconds:
            break
    return {
        **{"on_reference": compared, "equal_there": equal, "tokens_there": beginning},
        **{"steps_there": steps, "equal_logits": alike, "reference_s": round(spent / max(1, compared), 3)},
        **{"in_batches_of_7": len(few), "same_there": sum(done.said[each] == few[each] for each in few)},
    }


def stock(run: Run, steps: int, seconds: float) -> dict[str, Any]:
    """The loop with torch's own kernels, on mutants of the last screen: seconds each, the ratio, and whose text is
    another.
    """
    done, start = run.screened(), time.perf_counter()
    prompts, readout = ask(done.model, steps)
    loop = ReferenceEngine(done.model, Tiling(done.tile), stock=True).prepare(prompts, readout)
    compared, others, loud = 0, [], 0
    for outcome in loop.run(list(done.said)[:: max(1, len(done.said) // 100)]):
        own = done.said[outcome.mutant]
        compared, loud = compared + 1, loud + (own != done.session.wild_type)
        if outcome.outputs[0].tokens != own[0].tokens:
            others.append(str(outcome.mutant))
        if time.perf_counter() - start > seconds:
            break
    spent = (time.perf_counter() - start) / compared
    margins = done.session.wild_type[0].margins
    return {
        **{"compared": compared, "loud": loud, "others": len(others), "which": others[:5], "tokens": steps},
        "loop_s": round(spent, 3),
        "least_margin_of_wild_type": min(margins) if margins else None,
    }
