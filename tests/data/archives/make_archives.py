"""Makes the archives of the current format, which later versions must read: run it when the format version goes up.

    PYTHONPATH=tests python tests/data/archives/make_archives.py

An archive of a format that is no longer written stays as it is; those of format 1 were made in the same way, by the
last version that wrote it. tests/store/test_archives.py reads them all.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from builders import tiny_model
from mutascope import Design, Screen, TextAssay
from mutascope.core.schema import FORMAT_VERSION

HERE = Path(__file__).resolve().parent
MODEL = "tiny-llama"
"""Name of the model in the manifests: a folder of that name, where the screen is run."""


def text_screen() -> Screen:
    """The screen of the archives ``text``, of the model in the current folder."""
    assay = TextAssay(name="drosophila", seed=1, temperature=0.9, prompt="The life cycle", max_length=30)
    return Screen(MODEL, assay, Design(kinds=("v", "down"), sample=12), tile=8)


def main() -> None:
    target = HERE / f"format{FORMAT_VERSION}" / "text"
    shutil.rmtree(target, ignore_errors=True)
    with TemporaryDirectory() as work:
        os.chdir(work)
        tiny_model(MODEL, "llama")
        text_screen().run(target, quiet=True)


if __name__ == "__main__":
    main()
