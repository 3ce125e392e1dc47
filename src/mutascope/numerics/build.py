"""Finds, or makes, the compiled kernels of this processor.

Wheels bring a library for every processor that they are for. From source, the kernels are compiled once, when they are
first needed, and kept in the user's cache under a name that holds a digest of what they were made from. Every
compiler gives the same bits (docs/numerics.md), so it does not matter which one did it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from mutascope.core.errors import MutascopeError

SOURCES = Path(__file__).parent / "kernels"
BUILT = SOURCES / "built" / sys.platform
ZIGLANG = "ziglang==0.17.1"
"""Requirement of the package whose compiler makes the libraries of wheels (hatch_build.py), or stands in for ``cc``."""
CHOICE = "MUTASCOPE_KERNELS"
"""Environment variable that names a variant, instead of the best one of this processor."""
FLAGS = (
    *("-O3", "-std=gnu11", "-fPIC", "-shared", "-pthread"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
)
_PATIENCE = 300


@dataclass(frozen=True)
class Variant:
    """Kernels for a kind of processor.

    Attributes:
        name: of the kind.
        machine: as :func:`platform.machine` has it.
        flags: for compilers that are told ``-march``.
        zig: for zig, with what makes it as fast as gcc (docs/decisions/0012).
    """

    name: str
    machine: str
    flags: tuple[str, ...]
    zig: tuple[str, ...]

    @property
    def file(self) -> str:
        """Name of the library; it changes when the sources or the flags do."""
        digest = hashlib.sha256(" ".join(FLAGS).encode())
        for path in sorted([*SOURCES.glob("*.c"), *SOURCES.glob("*.h")]):
            digest.update(path.name.encode() + path.read_bytes())
        return f"{self.machine}-{self.name}-{digest.hexdigest()[:16]}.so"


_AVX512 = ("-mprefer-vector-width=512", "-mllvm", "-enable-misched=false")
_AVX2 = ("-mcpu=x86_64_v3", "-mllvm", "-unroll-full-max-count=7")  # loops over 8 lanes are vectorised instead
VARIANTS = (
    Variant(
        "avx512bf16", "x86_64", ("-march=x86-64-v4", "-mavx512bf16"), ("-mcpu=x86_64_v4+avx512bf16", *_AVX512)
    ),
    Variant("avx512", "x86_64", ("-march=x86-64-v4",), ("-mcpu=x86_64_v4", *_AVX512)),
    Variant("avx2", "x86_64", ("-march=x86-64-v3",), _AVX2),
    Variant("sse2", "x86_64", ("-march=x86-64",), ("-mcpu=x86_64",)),
    Variant("neon", "aarch64", ("-march=armv8-a",), ("-mcpu=generic",)),
)


def variants() -> list[Variant]:
    """Return what this processor can run, the best first; plain C where no variant is for it."""
    import torch

    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    known = [variant for variant in VARIANTS if variant.machine == machine]
    if not known:
        return [Variant("any", machine, (), ())]
    if machine == "x86_64":
        able = {"AVX512": 1, "AVX2": 2}.get(torch.backends.cpu.get_cpu_capability(), 3)
        known = known[able - (able == 1 and _has_bfloat16()) :]
    return known


def _has_bfloat16() -> bool:
    """Whether this processor says that it multiplies vectors of bfloat16."""
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False


def find_library() -> Path:
    """Return the library of this processor's kernels, compiled if need be.

    Raises:
        MutascopeError: where it must be compiled and cannot be, or the variant that ``$MUTASCOPE_KERNELS`` names does
            not run here.
    """
    able = variants()
    wanted = os.environ.get(CHOICE)
    if wanted and wanted not in [variant.name for variant in able]:
        names = ", ".join(variant.name for variant in able)
        raise MutascopeError(f"{CHOICE}={wanted} does not run on this processor: choose one of {names}")
    variant = next(variant for variant in able if wanted in (None, "", variant.name))
    for folder in (BUILT, cache()):
        if (folder / variant.file).exists():
            return folder / variant.file
    cache().mkdir(parents=True, exist_ok=True)
    return compile_into(cache(), variant, compiler(variant))


def cache() -> Path:
    """Return the folder of compiled kernels."""
    from platformdirs import user_cache_path

    return user_cache_path("mutascope") / "kernels"


def compiler(variant: Variant) -> list[str]:
    """Return the command of a C compiler for a variant: ``$CC``, ``cc``, or the one of the package ziglang.

    Raises:
        MutascopeError: where there is none.
    """
    command = shlex.split(os.environ.get("CC") or "cc")
    if shutil.which(command[0]):
        return [*command, *variant.flags]
    if find_spec("ziglang"):
        return zig(variant)
    raise MutascopeError(
        f"mutascope's kernels must be compiled, and there is no C compiler: '{command[0]}' is not found; install one"
        f" (apt install gcc, or pip install {ZIGLANG})"
    )


def zig(variant: Variant, *target: str) -> list[str]:
    """Return the command of the C compiler in the package ziglang; it compiles for this machine, or for a target."""
    return [sys.executable, "-m", "ziglang", "cc", "-s", *target, *variant.zig]


def compile_into(folder: Path, variant: Variant, command: list[str]) -> Path:
    """Compile a variant and return its library.

    Args:
        folder: where the library is put, whole or not at all.
        variant: which.
        command: compiler and options that are its own.

    Raises:
        MutascopeError: with the compiler's words.
    """
    with TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / variant.file
        command = [*command, *FLAGS, str(SOURCES / "kernels.c"), "-o", str(made), "-lm"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
            said, failed = done.stderr.strip(), done.returncode != 0
        except (OSError, subprocess.TimeoutExpired) as error:
            said, failed = str(error), True
        if failed:
            raise MutascopeError(f"mutascope's kernels do not compile:\n{shlex.join(command)}\n{said}")
        os.replace(made, folder / variant.file)
    return folder / variant.file
