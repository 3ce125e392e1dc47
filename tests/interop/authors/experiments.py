"""Files in the format of the authors' scripts, written as the scripts do, without any code of the package."""

from collections.abc import Mapping
from pathlib import Path

STANDARD = "<s> Say: egg, larva, pupa</s>"
ASSAY = {"name": "say", "prompt": "Say:", "seed": 0, "max_length": 20}
Q, V = "model.layers.0.self_attn.q_proj.weight", "model.layers.3.self_attn.v_proj.weight"
SHAPES = {"q": (8, 6), "v": (4, 6)}
"""With step 2: 4 x 3 sites, 2 x 3 sites."""


def write_experiment(
    folder: Path,
    logs: Mapping[str, list[tuple[str, int, int, str]]],
    done: list[str],
    *,
    standard: str = STANDARD,
    seed: int = 0,
    step: int = 2,
    finished: Mapping[str, tuple[int, int]] | None = None,
) -> Path:
    """Write log, code, done and finished files.

    ``logs``: by matrix, (label, loc1, loc2, text as the script escapes it); ``finished``: by matrix, (loc1, loc2).
    """
    folder.mkdir(parents=True, exist_ok=True)
    for matrix, rows in logs.items():
        codes: dict[str, int] = {}
        log = code_file = ""
        code_file = f"seed:{seed} step: {step}\nstandard output:\n{standard}\n%%%%%%\n"
        for label, loc1, loc2, text in rows:
            if text not in codes:
                codes[text] = len(codes)
                code_file += f"{matrix}:{codes[text]}\n{text}\n%%%%%%\n"
            log += f"{label} {matrix}:{loc1},{loc2}:{codes[text]}\n"
        (folder / f"say_{matrix}_code_110723.txt").write_text(code_file, newline="")
        if rows:
            (folder / f"say_{matrix}_log_110723.txt").write_text(log, newline="")
    for matrix, (loc1, loc2) in (finished or {}).items():
        (folder / f"say_{matrix}_finished_110723.txt").write_text(f"{loc1},{loc2}")
    (folder / "say_done_110723.txt").write_text("".join(f"{matrix}\n" for matrix in done))
    return folder
