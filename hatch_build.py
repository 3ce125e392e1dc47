"""A build hook of hatchling: wheels bring the kernels compiled, so that installing one takes no compiler.

A wheel has them for Linux, for every kind of processor, and mutascope finds its own by the name of the file. Elsewhere,
and where mutascope is installed editable, the kernels are compiled when they are first needed.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent / "src"))
from mutascope.numerics import build

PLACE = "mutascope/numerics/kernels/built/linux"
GLIBC = "2.17"  # or newer; torch's own wheels ask for more


class KernelsHook(BuildHookInterface):
    """Compiles every variant into a folder that goes when the wheel is there."""

    def dependencies(self) -> list[str]:
        """Return what must be installed for the build."""
        return [build.ZIGLANG]

    def initialize(self, version: str, build_data: dict) -> None:
        """Compile the kernels and name them as files of the wheel."""
        if version == "editable":
            return
        self.scratch = TemporaryDirectory()
        for variant in build.VARIANTS:
            command = build.zig(variant, "-target", f"{variant.machine}-linux-gnu.{GLIBC}")
            made = build.compile_into(Path(self.scratch.name), variant, command)
            build_data["force_include"][str(made)] = f"{PLACE}/{made.name}"

    def finalize(self, version: str, build_data: dict, artifact_path: str) -> None:
        """Remove what was compiled."""
        if version != "editable":
            self.scratch.cleanup()
