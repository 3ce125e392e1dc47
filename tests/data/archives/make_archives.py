"""Makes the archives of the current format that are missing, which later versions must read.

    PYTHONPATH=tests python tests/data/archives/make_archives.py

An archive that is there stays as it is: those of format 1, and the text of format 2, which does not say the type of its
assay, were made in the same way by the last versions that wrote them. tests/store/test_archives.py reads them all.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from builders import tiny_model
from mutascope import Design, Screen, TextAssay
from mutascope.assays import ChoiceAssay, PanelAssay
from mutascope.core.genome import Mutant
from mutascope.core.schema import FORMAT_VERSION

HERE = Path(__file__).resolve().parent
MODEL = "tiny-llama"
"""Name of the model in the manifests: a folder of that name, where the screen is run."""
_NSMS = ("0.v:1,5:max", "0.v:1,5:min", "0.v:2,2:max")


def text_screen() -> Screen:
    """The screen of the archives ``text``, of the model in the current folder."""
    assay = TextAssay(name="drosophila", seed=1, temperature=0.9, prompt="The life cycle", max_length=30)
    return Screen(MODEL, assay, Design(kinds=("v", "down"), sample=12), tile=8)


def choice_screen() -> Screen:
    """The screen of the archives ``choice``, of the model and the questions in the current folder."""
    assay = ChoiceAssay(name="quiz", questions="q.jsonl", shots=1, right=0, wrong=4)
    return Screen(MODEL, assay, Design(kinds=("v",), sample=6), tile=8)


def panel_screen() -> Screen:
    """The screen of the archives ``panel``, of the model and the prompts in the current folder."""
    assay = PanelAssay(name="panel", temperature=0.9, prompts="p.txt", max_length=24)
    return Screen(MODEL, assay, Design(mutants=tuple(map(Mutant.parse, _NSMS))), tile=8)


SCREENS = {"text": text_screen, "choice": choice_screen, "panel": panel_screen}


def make_sources() -> None:
    """Write the model, the questions and the prompts into the current folder."""
    tiny_model(MODEL, "llama")
    rows = [
        {"question": f"What is {n} plus {n}?", "choices": [str(2 * n), "no", "none", "9"], "answer": 0}
        for n in range(6)
    ]
    Path("q.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    Path("p.txt").write_text("The life cycle\nOnce upon a time\nThe law\n")


def main() -> None:
    with TemporaryDirectory() as work:
        os.chdir(work)
        make_sources()
        for name, screen in SCREENS.items():
            target = HERE / f"format{FORMAT_VERSION}" / name
            if not target.exists():
                screen().run(target, quiet=True)


if __name__ == "__main__":
    main()
