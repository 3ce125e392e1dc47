"""Writes the tables of the docs from benchmarks/results/*.json.

python -m benchmarks.tables [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"


def engine_table() -> str:
    """A line per run of benchmarks.engine."""
    runs = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("engine-*.json"))]
    columns = (
        "run", "mutants", "ms a mutant (screened)", "GFLOP", "loop, stock and own, s", "ratio",
        "share of the peak (screened)", "equal to own, to stock",
    )  # fmt: skip
    lines = [_row(columns), _row(["---"] * len(columns))]
    for run in runs:
        shares = (f"{100 * run[name]:.0f} %" for name in ("peak_share", "peak_share_screened"))
        share = "{} ({}) of ".format(*shares) + f"{run['peak_gflops']:.0f} GFLOP/s"
        cells = (
            f"{run['assay']}, tile {run['tile']}, {run['dtype']}",
            f"{run['mutants']:,}",
            f"{run['ms']} ({run['ms_screened']})",
            f"{run['gflop']:.1f}",
            f"{run['loop_stock_s']:.2f}, {run['loop_own_s']:.2f}",
            f"**{run['ratio']:.0f}**",
            share,
            f"{run['own_equal']}, {run['stock_equal']}",
        )
        lines.append(_row(cells))
    where = sorted({f"{run['threads']} threads, {run['processor']}, {run['kernels']}" for run in runs})
    return "\n".join([*lines, "", f"Measured on {'; '.join(where)}. Peak memory {_memory(runs)}."])


def assays_table() -> str:
    """A line per run of benchmarks.choice and benchmarks.panel."""
    columns = (
        "run",
        "mutants",
        "ms a mutant",
        "loop with torch's kernels, s",
        "ratio",
        "equal to torch's kernels",
    )
    lines = [_row(columns), _row(["---"] * len(columns))]
    for path in sorted(RESULTS.glob("assay-*.json")):
        run = json.loads(path.read_text())
        cells = (
            f"{run['assay']}, tile {run['tile']}",
            f"{run['mutants']:,}",
            f"{run['ms']:,.0f}",
            f"{run['loop_stock_s']:.1f}",
            f"**{run['ratio']:.0f}**",
            run["stock_equal"],
        )
        lines.append(_row(cells))
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _memory(runs: list[dict[str, float]]) -> str:
    return f"{max(run['peak_memory_gb'] for run in runs):.1f} GB" if runs else "not measured"


def bits_table() -> str:
    """A line per run of benchmarks.bits."""
    lines = [
        "| assay | mutants (silent) | equal outputs | steps | steps with equal logits |",
        "| --- | --- | --- | --- | --- |",
    ]
    for path in sorted((RESULTS / "bits").glob("*.json")):
        run = json.loads(path.read_text())
        how = [run["assay"], f"tile {run['tile']}", run["dtype"]]
        how += [f"seed {run['seed']}"] * (run["seed"] is not None)
        how += ["greedy"] * run["greedy"] + ["a weight of 1e6 in every matrix"] * run["outlier"]
        logits = f"{run['steps']:,} | {run['equal_logits']:,}" if run["steps"] else "- | probabilities are"
        lines.append(f"| {', '.join(how)} | {run['mutants']} ({run['silent']}) | {run['equal']} | {logits} |")
    return "\n".join(lines)


def stock_table() -> str:
    """What benchmarks.stock found."""
    path = RESULTS / "stock.json"
    if not path.exists():
        return "Not measured."
    run = json.loads(path.read_text())
    margins = [call["margin"] for call in run["calls"] if call["margin"] is not None]
    told = f", with margins of at most {max(margins):.1e}" if margins else ""
    return (
        f"{run['different']} of {run['mutants']:,} calls of {run['assay']} are others with torch's own kernels"
        f" ({100 * run['different'] / run['mutants']:.1f} %){told}. The smallest margin of a text is below 1e-4 in"
        f" {100 * run['smallest_margin_below_1e-4']:.1f} % of the mutants."
    )


def unseen_table() -> str:
    """A line per prompt of benchmarks.unseen, without zero, then with it."""
    runs = [json.loads(path.read_text()) for path in sorted((RESULTS / "unseen").glob("*.json"))]
    columns = (
        *("prompt", "calls", "NSMs", "AUC (95 %)", "worst kind", "right", "ECE", "mean probability"),
        *("NSM rate", "silence r²", "right with 12 % run"),
    )
    lines = [_row(columns), _row(["---"] * len(columns))]
    for run in runs:
        worst = min(run["kinds"], key=run["kinds"].get)
        counts, (right, ece, silence) = _of_calls(run)
        cells = (
            *(_prompt(run), *counts, f"{worst} {run['kinds'][worst]:.3f}", right, ece),
            f"{run['probability']:.3f}",
            "{rate:.3f} ± {rate_error:.3f}".format(**run),
            silence,
            f"{100 * run['adaptive']:.1f} %",
        )
        lines.append(_row(cells))
    columns = ("with zero", "calls", "NSMs", "AUC (95 %)", "right", "ECE", "silence r²")
    lines += ["", _row(columns), _row(["---"] * len(columns))]
    for run in (each for each in runs if "with_zero" in each):
        counts, measures = _of_calls(run["with_zero"])
        lines.append(_row((_prompt(run), *counts, *measures)))
    return "\n".join(lines)


def _prompt(run: dict) -> str:
    return f"`{run['prompt']}`" + " (development)" * (not run["unseen"])


def _of_calls(scores: dict) -> tuple[list[str], list[str]]:
    """Calls, NSMs and AUC, and then share of right calls, ECE and r squared of silence."""
    area = "{auc:.3f} ({auc_low:.3f} to {auc_high:.3f})".format(**scores)
    return (
        [f"{scores['mutants']:,}", f"{scores['nsm']:,}", area],
        [f"{100 * scores['accuracy']:.1f} %", f"{scores['ece']:.3f}", f"{scores['silence_r2']:.3f}"],
    )


def workers_table() -> str:
    """A line per executor that benchmarks.workers measured."""
    path = RESULTS / "workers.json"
    if not path.exists():
        return "Not measured."
    run = json.loads(path.read_text())
    few, many = run["mutants"]
    columns = (
        "executor", f"seconds of {few:,} mutants", f"of {many:,}", "ms a mutant", "seconds once",
        "ms a unit that takes no time",
    )  # fmt: skip
    lines = [_row(columns), _row(["---"] * len(columns))]
    for screened, idle in zip(run["screen"], run["idle"], strict=True):
        seconds = [f"{value:.1f}" for value in (*screened["seconds"], screened["once"])]
        each = [f"{1e3 * line['each']:.1f}" for line in (screened, idle)]
        lines.append(_row((screened["way"], *seconds[:2], each[0], seconds[2], each[1])))
    return "\n".join([*lines, "", f"Measured on {run['cores']} cores, {run['processor']}."])


def luck_table() -> str:
    """What benchmarks.luck found: findings of the map of one seed, in other seeds' maps and in the mean of these."""
    run = json.loads((RESULTS / "luck.json").read_text())
    layers = run["layers"]
    told = (
        f"Layer correlations (r squared, {min(run['layer_mutants'].values()):,} mutants an assay, sites of every"
        f" locus): two seeds of one prompt {layers['two_seeds']:.2f}; two prompts {layers['two_prompts']:.2f}, from"
        f" {layers['two_prompts_least']:.2f} to {layers['two_prompts_most']:.2f} by seed. Of mean chances: two halves"
        f" of the seeds {layers['halves_of_seeds']:.2f}; two prompts {layers['means_of_two_prompts']:.2f}."
    )
    return "\n\n".join([*map(_complete_loci, run["complete"]), told])


def _complete_loci(run: dict[str, Any]) -> str:
    columns = (
        "finding",
        "one seed",
        "in another seed's map",
        "in the mean of the others",
        "mean of all seeds",
    )
    lines = [_row(columns), _row(["---"] * len(columns))]
    for row in run["findings"]:
        shares = (
            f"{100 * row[name]:.0f} %" if row[name] is not None else "-" for name in ("again", "survive")
        )
        lines.append(_row([row["finding"], f"{row['found']:.1f}", *shares, str(row["of_mean"])]))
    alike, rates = run["agreement"], sorted(100 * row["nsm"] / row["mutants"] for row in run["rates"])
    told = (
        f"{run['mutants']:,} mutants in {len(run['loci'])} complete loci ({', '.join(run['loci'])}),"
        f" tile {run['tile']}, {run['tokens']} tokens, {len(rates)} seeds; NSMs are {rates[0]:.0f} to"
        f" {rates[-1]:.0f} %, by seed. Two seeds make the same call of {100 * alike['alike']:.0f} % of the mutants"
        f" ({100 * alike['alike_by_chance']:.0f} % by chance). Calls of two seeds correlate with"
        f" r = {alike['r_of_calls']:.2f}, chances of silence with {alike['r_of_chances']:.2f}; the mean of all seeds"
        f" has a reliability of {alike['reliability_of_mean']:.2f}."
    )
    return "\n".join([*lines, "", told])


def adaptive_table() -> str:
    """A line per run of benchmarks.atlas."""
    columns = (
        "prompt",
        "layer",
        "tile",
        "mutants",
        "`--error`",
        "run",
        "checked",
        "of these not run",
        "wrong",
        "right",
    )
    lines = [_row(columns), _row(["---"] * len(columns))]
    for path in sorted((RESULTS / "atlas").glob("*.json")):
        run = json.loads(path.read_text())
        cells = (
            f"`{run['prompt']}`",
            f"{run['layer']}",
            f"{run['tile']}",
            f"{run['mutants']:,}",
            f"{run['error']}",
            f"{run['run']:,} ({100 * run['run'] / run['mutants']:.1f} %)",
            f"{run['checked']:,}",
            f"{run['checked'] - run['checked_run']:,}",
            f"{run['wrong']}",
            f"{100 * run['right']:.1f} %",
        )
        lines.append(_row(cells))
    return "\n".join(lines)


def card_table() -> str:
    """A line per product and per screen of benchmarks.gpu."""
    found = json.loads((RESULTS / "gpu.json").read_text())
    columns = ("product", "cuBLAS, TFLOP/s", "mutascope, TFLOP/s")
    lines = [_row(columns), _row(["---"] * len(columns))]
    lines += [
        _row((name, f"{each['stock']:.0f}", f"{each['own']:.0f}"))
        for name, each in found["products"].items()
        if name != "seconds"
    ]
    columns = (
        "screen",
        "mutants",
        "ms a mutant",
        "TFLOP/s",
        "batch",
        "peak memory",
        "equal in batches of 7, on `generate`",
    )
    lines += ["", _row(columns), _row(["---"] * len(columns))]
    for name, run in found.items():
        if "ms_a_mutant" not in run:
            continue
        complete = run["where"]["decoding"] > 0
        cells = (
            name.removesuffix(" screen").replace("small", "SmolLM2-135M"),
            f"{run['mutants']:,}",
            f"{run['ms_a_mutant']}" + ("" if complete else " (verification alone)"),
            f"{run['tflops']:.0f}",
            f"{run['batch']:,}",
            f"{run['peak_gb']:.0f} GB",
            f"{run['same_there']} of {run['in_batches_of_7']}, {run['equal_there']} of {run['on_reference']}",
        )
        lines.append(_row(cells))
    facts = found["card"]
    where = f"{facts['card']}, torch {facts['torch']}, Triton {facts['triton']}"
    return "\n".join([*lines, "", f"Measured on one {where}."])


TABLES = {
    "card": card_table,
    "workers": workers_table,
    "assays": assays_table,
    "engine": engine_table,
    "bits": bits_table,
    "stock": stock_table,
    "unseen": unseen_table,
    "luck": luck_table,
    "adaptive": adaptive_table,
}
PAGES = (
    "docs/engine.md",
    "docs/guide/gpu.md",
    "docs/reference/silence.md",
    "docs/reference/clusters.md",
    "docs/reference/predictions.md",
    "README.md",
)


def filled(text: str) -> str:
    """The text with its tables made anew."""
    for name, table in TABLES.items():
        begin, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        if begin in text:
            before, _, rest = text.partition(begin)
            _, _, after = rest.partition(end)
            text = before + begin + "\n" + table() + "\n\n" + end + after
    return text


def main() -> None:
    stale = []
    for page in (ROOT / name for name in PAGES):
        text = page.read_text()
        new = filled(text)
        if new != text:
            stale.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(new)
    if stale and "--check" in sys.argv:
        raise SystemExit(
            f"run python -m benchmarks.tables: {', '.join(stale)} do not show the latest results"
        )


if __name__ == "__main__":
    main()
