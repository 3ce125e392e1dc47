"""Finding and compiling the kernels: which compiler, what is said where that fails, and what wheels are given."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mutascope.core.errors import MutascopeError
from mutascope.numerics import build

NAMED = {variant.name: variant for variant in build.VARIANTS}
FAILS = [sys.executable, "-c", "import sys; sys.exit('kernels.c:1: what is this?')"]


@pytest.fixture
def no_cc(monkeypatch, tmp_path):
    """Nothing is on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)


def test_the_compiler_is_cc_or_what_cc_names(monkeypatch, tmp_path):
    for name in ("cc", "other-cc"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert build.compiler(NAMED["avx2"]) == ["cc", "-march=x86-64-v3"]
    monkeypatch.setenv("CC", "other-cc -m64")
    assert build.compiler(NAMED["avx2"]) == ["other-cc", "-m64", "-march=x86-64-v3"]


def test_without_cc_the_compiler_is_the_one_of_ziglang(monkeypatch, no_cc):
    monkeypatch.setattr(build, "find_spec", lambda name: name == "ziglang")
    command = [sys.executable, "-m", "ziglang", "cc", "-s", "-mcpu=x86_64"]
    assert build.compiler(NAMED["sse2"]) == command


def test_the_compiler_of_ziglang_compiles_the_kernels(no_cc, monkeypatch, tmp_path):
    pytest.importorskip("ziglang", reason="the package ziglang is not installed")
    monkeypatch.setattr(build, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(build, "BUILT", tmp_path / "none")
    assert build.find_library().stat().st_size > 0


def test_without_any_compiler_the_message_says_how_to_get_one(monkeypatch, no_cc):
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    with pytest.raises(MutascopeError, match=r"no C compiler: 'cc' is not found; install one .*ziglang=="):
        build.compiler(build.VARIANTS[0])
    monkeypatch.setenv("CC", "icc -fast")
    with pytest.raises(MutascopeError, match="'icc' is not found"):
        build.compiler(build.VARIANTS[0])


@pytest.mark.parametrize("command, words", [(FAILS, "what is this?"), (["/no/such/cc"], "/no/such/cc")])
def test_a_failure_to_compile_shows_the_compilers_words_and_leaves_nothing(tmp_path, command, words):
    with pytest.raises(MutascopeError, match=r"do not compile") as caught:
        build.compile_into(tmp_path, build.VARIANTS[0], command)
    assert words in str(caught.value).splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_a_compiler_that_hangs_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "_PATIENCE", 0.1)
    with pytest.raises(MutascopeError, match="timed out"):
        build.compile_into(tmp_path, build.VARIANTS[0], [sys.executable, "-c", "import time; time.sleep(60)"])


def test_a_variant_that_does_not_run_here_is_refused(monkeypatch):
    monkeypatch.setenv(build.CHOICE, "avx1024")
    able = ", ".join(variant.name for variant in build.variants())
    with pytest.raises(
        MutascopeError, match=re.escape(f"avx1024 does not run on this processor: choose one of {able}")
    ):
        build.find_library()


def test_a_processor_of_another_kind_runs_plain_c(monkeypatch):
    monkeypatch.setattr(build.platform, "machine", lambda: "riscv64")
    (variant,) = build.variants()
    assert variant.file.startswith("riscv64-any-")
    assert "-march" not in " ".join(build.compiler(variant))


def test_a_library_is_compiled_once(monkeypatch, tmp_path):
    """It is found in the cache from then on, and where a wheel brings it, nothing is compiled at all."""
    monkeypatch.setattr(build, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(build, "BUILT", tmp_path / "built")
    monkeypatch.setattr(build, "compiler", lambda variant: [sys.executable])
    monkeypatch.delenv(build.CHOICE, raising=False)
    calls = []

    def compile_nothing(command, **_):
        calls.append(command)
        open(command[command.index("-o") + 1], "w").close()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(build.subprocess, "run", compile_nothing)
    found = build.find_library()
    assert found == build.find_library()
    assert found.parent == tmp_path / "cache"
    assert len(calls) == 1
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / found.name).touch()
    assert build.find_library().parent == tmp_path / "built"
    assert len(calls) == 1


def test_the_name_of_a_library_changes_with_its_sources_and_its_flags(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    (tmp_path / "kernels.c").write_text("int one;")
    names = [build.VARIANTS[0].file]
    (tmp_path / "kernels.c").write_text("int two;")
    names.append(build.VARIANTS[0].file)
    (tmp_path / "more.h").write_text("int three;")
    names.append(build.VARIANTS[0].file)
    monkeypatch.setattr(build, "FLAGS", ("-O0",))
    names.append(build.VARIANTS[0].file)
    assert len(set(names)) == 4


@pytest.fixture
def hook(monkeypatch):
    """The build hook of wheels, and the commands with which it would compile."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = Path(__file__).parents[2] / "hatch_build.py"
    spec = importlib.util.spec_from_file_location("hatch_build", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    commands = []

    def compile_nothing(folder, variant, command):
        commands.append(command[command.index("-target") :])
        return folder / variant.file

    monkeypatch.setattr(build, "compile_into", compile_nothing)
    return module.KernelsHook("", {}, None, None, "", "wheel"), commands


def test_a_wheel_is_given_every_variant_where_it_is_looked_for(hook):
    building, commands = hook
    files = {}
    building.initialize("standard", {"force_include": files})
    building.finalize("standard", {}, "")
    assert [command[1] for command in commands] == 4 * ["x86_64-linux-gnu.2.17"] + ["aarch64-linux-gnu.2.17"]
    assert commands[3][2:] == ["-mcpu=x86_64"]
    package = build.SOURCES.parents[2]
    looked_for = [build.BUILT.with_name("linux") / variant.file for variant in build.VARIANTS]
    assert [package / place for place in files.values()] == looked_for
    assert not [made for made in files if Path(made).parent.exists()]


def test_an_editable_install_compiles_nothing(hook):
    building, commands = hook
    building.initialize("editable", {"force_include": {}})
    building.finalize("editable", {}, "")
    assert not commands
