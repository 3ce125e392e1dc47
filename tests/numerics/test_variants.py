"""Every variant of the kernels gives the bits that are kept in digests.json, and so does another kind of processor."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mutascope.numerics import build

HERE = Path(__file__).parent
ARM_CC, ARM_LIBRARIES = "aarch64-linux-gnu-gcc", "/usr/aarch64-linux-gnu"


def variant_named(name):
    """Return a variant, where this processor runs it."""
    for variant in build.variants():
        if variant.name == name:
            return variant
    pytest.skip(f"this processor does not run {name} kernels")


@pytest.mark.parametrize("name", [variant.name for variant in build.VARIANTS])
def test_every_operation_gives_the_bits_that_are_kept(name):
    """With one thread and with two; in a process of its own, as the variant is chosen once."""
    variant_named(name)
    command = [sys.executable, str(HERE / "digest.py")]
    chosen = os.environ | {build.CHOICE: name, "PYTHONPATH": str(HERE.parent)}
    printed = subprocess.run(command, env=chosen, check=True, capture_output=True, text=True, timeout=200)
    assert json.loads(printed.stdout) == json.loads((HERE / "digests.json").read_text())


def run_driver(folder, variant, command, emulator=()):
    """Compile driver.c with the kernels and return what it prints."""
    made = folder / f"driver-{variant.name}"
    flags = [flag for flag in build.FLAGS if flag != "-shared"]
    sources = [f"-I{build.SOURCES}", str(HERE / "driver.c")]
    subprocess.run([*command, *variant.flags, *flags, *sources, "-o", str(made), "-lm"], check=True)
    return subprocess.run([*emulator, str(made)], check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_an_aarch64_processor_gives_the_bits_of_this_one(tmp_path):
    """Emulated; the driver goes through the same operations on every processor and prints a digest of each."""
    if not shutil.which(ARM_CC):
        pytest.skip(f"there is no cross compiler: {ARM_CC} is not found (apt install gcc-aarch64-linux-gnu)")
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if not emulator:
        pytest.skip("there is no emulator: qemu-aarch64 is not found (apt install qemu-user)")
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler of this processor's own: cc is not found")
    neon = next(variant for variant in build.VARIANTS if variant.machine == "aarch64")
    emulated = run_driver(tmp_path, neon, [ARM_CC], [emulator, "-L", ARM_LIBRARIES])
    assert len(emulated.splitlines()) == 13
    for variant in build.variants():
        assert run_driver(tmp_path, variant, ["cc"]).splitlines() == emulated.splitlines(), variant.name
