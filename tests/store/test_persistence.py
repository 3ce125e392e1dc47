"""Stores that fail for a moment, or for good."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from mutascope.core.errors import MutascopeError
from mutascope.store import persistence
from mutascope.store.files import Files


@pytest.fixture
def files(tmp_path, monkeypatch) -> Files:
    monkeypatch.setattr(persistence, "PAUSES", (0.0,) * 3)
    return Files(f"memory://{tmp_path.name}")


class Failing:
    """Fails some times, before or after it has done its work."""

    def __init__(self, work, times: int, error: Exception, after: bool = False) -> None:
        self.work, self.left, self.error, self.after = work, times, error, after

    def __call__(self, *arguments, **options):
        self.left -= 1
        if self.left >= 0:
            if self.after:
                self.work(*arguments, **options)
            raise self.error
        return self.work(*arguments, **options)


def fail(monkeypatch, method: str, times: int, error: Exception | None = None, after: bool = False) -> None:
    work = getattr(MemoryFileSystem, method)
    failing = Failing(work, times, error or OSError(5, "the store is tired"), after)
    monkeypatch.setattr(
        MemoryFileSystem, method, lambda *arguments, **options: failing(*arguments, **options)
    )


@pytest.mark.parametrize("after", [False, True], ids=["undone", "done and not told"])
def test_what_fails_three_times_is_done_the_fourth_time(files, monkeypatch, after):
    fail(monkeypatch, "pipe_file", 3, after=after)
    fail(monkeypatch, "cat_file", 3, after=after)
    fail(monkeypatch, "ls", 3, after=after)
    fail(monkeypatch, "info", 3, after=after)
    files.write("records/a.parquet", b"a")
    assert files.read("records/a.parquet") == b"a"
    assert files.tables("records") == ["a"]
    assert files.exists("records/a.parquet")
    assert not files.exists("records/b.parquet")


@pytest.mark.parametrize("after", [False, True], ids=["undone", "done and not told"])
def test_who_creates_a_file_is_told_so_when_the_first_answer_was_lost(files, monkeypatch, after):
    fail(monkeypatch, "pipe_file", 1, after=after)
    assert files.create("leases/000000.1", b"me")
    assert not files.create("leases/000000.1", b"another")
    assert files.read("leases/000000.1") == b"me"


def test_an_answer_of_the_store_that_is_no_file_exists_is_understood(files, monkeypatch):
    """s3fs has said OSError(EINVAL) for a failed precondition."""
    assert files.create("leases/000000.1", b"me")
    fail(
        monkeypatch,
        "pipe_file",
        9,
        OSError(22, "At least one of the pre-conditions you specified did not hold"),
    )
    assert not files.create("leases/000000.1", b"another")


def test_what_goes_on_failing_is_one_sentence(files, monkeypatch):
    fail(monkeypatch, "pipe_file", 9)
    with pytest.raises(
        MutascopeError, match=r"^memory://\S+ is out of reach \(\[Errno 5\] the store is tired\): check"
    ):
        files.write("records/a.parquet", b"a")


def test_a_store_that_takes_long_to_fail_is_not_asked_as_often(files, monkeypatch):
    moments = iter(range(0, 1000, 100))
    clock = SimpleNamespace(monotonic=lambda: next(moments), sleep=lambda seconds: None)
    monkeypatch.setattr(persistence, "time", clock)
    fail(monkeypatch, "cat_file", 9)
    with pytest.raises(MutascopeError, match="is out of reach"):
        files.read("manifest.json")
    assert next(moments) == 300


def test_who_is_not_let_in_does_not_try_again(files, monkeypatch):
    fail(monkeypatch, "cat_file", 1, PermissionError("Forbidden"))
    with pytest.raises(
        MutascopeError, match=r"out of reach \(Forbidden\): check its address and the credentials"
    ):
        files.read("manifest.json")


def test_failures_that_are_no_os_errors_are_known(files, monkeypatch):
    exceptions = pytest.importorskip("botocore.exceptions")
    fail(monkeypatch, "cat_file", 9, exceptions.EndpointConnectionError(endpoint_url="http://nowhere"))
    with pytest.raises(MutascopeError, match="Could not connect to the endpoint URL"):
        files.read("manifest.json")


def test_a_bug_is_no_failure_of_the_store(files, monkeypatch):
    fail(monkeypatch, "cat_file", 1, TypeError("a bug"))
    with pytest.raises(TypeError):
        files.read("manifest.json")


@pytest.mark.parametrize("where", ["local", "memory"])
def test_an_interrupt_is_no_answer_that_a_file_is_missing(tmp_path, monkeypatch, where):
    files = Files(str(tmp_path) if where == "local" else f"memory://{tmp_path.name}")
    files.write("manifest.json", b"{}")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", interrupted)
        patch.setattr(MemoryFileSystem, "info", interrupted)
        with pytest.raises(KeyboardInterrupt):
            files.exists("manifest.json")
    assert files.exists("manifest.json")
