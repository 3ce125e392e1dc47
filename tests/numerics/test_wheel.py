"""A wheel brings the kernels: where there is no compiler, they give the bits that are kept in digests.json."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from mutascope.numerics import build

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILT = "mutascope/numerics/kernels/built"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from the source distribution, in whose folder somebody has put a library of their own."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder], cwd=ROOT, check=True
    )
    (archive,) = folder.glob("*.tar.gz")
    subprocess.run([sys.executable, "-m", "tarfile", "-e", archive, folder], check=True)
    source = folder / archive.name.removesuffix(".tar.gz")
    own = source / "src" / BUILT / "linux" / "own.so"
    own.parent.mkdir(parents=True)
    own.touch()
    where = ["--no-build-isolation"] if find_spec("ziglang") else ["--retries=0"]
    command = [*PIP, "wheel", "--no-deps", *where, "-w", folder, source]
    done = subprocess.run(command, capture_output=True, text=True)
    if "No matching distribution found" in done.stderr:
        pytest.skip("the compiler of wheels is not installed, and no index has it: pip install ziglang")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    """The environment of a process that finds the wheel's mutascope, no compiler, and an empty cache."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([*PIP, "install", "--quiet", "--no-deps", "--target", folder / "site", wheel], check=True)
    environment = {name: value for name, value in os.environ.items() if name != "CC"}
    paths = os.pathsep.join([str(folder / "site"), str(HERE.parent)])
    places = {"PATH": folder / "none", "PYTHONPATH": paths, "XDG_CACHE_HOME": folder / "cache"}
    return environment | {name: str(place) for name, place in places.items()}


def test_a_wheel_has_the_library_of_every_variant_and_no_other(wheel):
    with zipfile.ZipFile(wheel) as file:
        libraries = [name for name in file.namelist() if name.endswith(".so")]
        first_bytes = {file.read(name)[:4] for name in libraries}
    assert sorted(libraries) == sorted(f"{BUILT}/linux/{variant.file}" for variant in build.VARIANTS)
    assert first_bytes == {b"\x7fELF"}
    assert wheel.name.endswith("-py3-none-any.whl")


@pytest.mark.parametrize("name", [variant.name for variant in build.VARIANTS])
def test_its_kernels_give_the_bits_that_are_kept_without_a_compiler(bare, name):
    if sys.platform != "linux":
        pytest.skip("wheels have no kernels of this system")
    if name not in [variant.name for variant in build.variants()]:
        pytest.skip(f"this processor does not run {name} kernels")
    command = [sys.executable, str(HERE / "digest.py")]
    done = subprocess.run(command, env=bare | {build.CHOICE: name}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((HERE / "digests.json").read_text())
    assert not list(Path(bare["XDG_CACHE_HOME"]).rglob("*.so"))  # nothing was compiled
