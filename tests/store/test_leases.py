"""Who of several processes holds what."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from mutascope.store import leases as module
from mutascope.store.files import Files
from mutascope.store.leases import Leases, Usage, holders, signs
from processes import start_function


@pytest.fixture(params=["local", "memory"])
def files(request, tmp_path) -> Files:
    return Files(str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}")


def taken(files: Files) -> list[str]:
    return sorted(name for name in files.names("leases") if name != "holders")


def test_one_holds_what_another_does_not_get(files):
    with Leases(files) as mine, Leases(files) as other:
        assert mine.take("000001")
        assert mine.take("000001")
        assert not other.take("000001")
        assert other.take("000002")
        mine.release("000001")
        assert other.take("000001")
    assert taken(files) == []
    assert files.names("leases/holders") == []


def test_holders_are_counted_while_they_show_signs_of_life(files):
    assert holders(files) == 0
    with Leases(files) as mine, Leases(files) as other:
        assert holders(files) == 2
        assert mine.take("000001")
        assert other.take("15.down")
        assert mine.names() == {"000001", "15.down"}
    assert holders(files) == 0


def test_a_holder_whose_last_sign_is_a_minute_older_than_that_of_others_does_not_count(tmp_path):
    files = Files(str(tmp_path))
    old, young, mine = Leases(files), Leases(files), Leases(files)
    for age, holder in ((61, old), (59, young), (0, mine)):
        holder._beat()
        os.utime(tmp_path / "leases" / "holders" / holder._holder, (0, 1e6 - age))
    assert holders(files) == 2


def test_a_sign_of_life_tells_what_its_process_uses(files):
    usage = Usage(3_100_000_000, 57_600_000_000, "NVIDIA H100 80GB HBM3")
    with Leases(files, lambda: usage), Leases(files):
        assert {sign.usage for sign in signs(files)} == {usage, None}
        assert {(sign.process, sign.count) for sign in signs(files)} == {(os.getpid(), 1)}


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"here", b"here 1", b"here 1 x", b"here 1 1 2", b"h 1 1 x 2 c"]
)
def test_a_sign_that_cannot_be_read_is_one_of_life(files, content):
    with Leases(files) as mine:
        files.create("leases/000001.1", b"other")
        files.write("leases/holders/other", content)
        assert not mine.take("000001")
        assert holders(files) == 2
        assert len(signs(files)) == 1


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"../../x", b"a\0b"])
def test_a_lease_that_cannot_be_read_expires(files, monkeypatch, content):
    monkeypatch.setattr(module, "EXPIRY", 0.1)
    with Leases(files) as mine:
        files.create("leases/000001.1", content)
        assert not mine.take("000001")
        time.sleep(0.2)
        assert mine.take("000001")


def test_one_of_many_gets_what_all_want(files):
    together, got = threading.Barrier(8), []

    def want() -> None:
        with Leases(files) as leases:
            for name in map(str, range(20)):
                together.wait()
                if leases.take(name):
                    got.append(name)
            together.wait()

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got, key=int) == list(map(str, range(20)))


def test_a_holder_without_a_sign_of_life_loses_what_it_holds(files, monkeypatch):
    monkeypatch.setattr(module, "EXPIRY", 0.2)
    dead = Leases(files)  # its heart never beats again
    dead._beat()
    assert dead.take("000001")
    with Leases(files) as mine:
        assert not mine.take("000001")
        time.sleep(0.3)
        assert mine.take("000001")
        assert taken(files) == ["000001.1", "000001.2"]
        mine.release("000001")
        assert taken(files) == []


def test_a_lease_that_is_given_up_while_it_is_looked_at_has_one_holder_afterwards(files, monkeypatch):
    first, second, third = Leases(files), Leases(files), Leases(files)
    for holder in (first, second, third):
        holder._beat()
    assert first.take("000001")
    seen = second._numbers("000001")
    first.release("000001")
    monkeypatch.setattr(second, "_numbers", lambda name: seen)
    assert not second.take("000001")  # it saw a lease that is gone now
    assert third.take("000001")
    monkeypatch.undo()
    assert not second.take("000001")


def test_a_holder_that_shows_signs_of_life_keeps_what_it_holds(files, monkeypatch):
    monkeypatch.setattr(module, "EXPIRY", 0.4)
    monkeypatch.setattr(module, "BEAT", 0.05)
    with Leases(files) as other, Leases(files) as mine:
        assert other.take("000001")
        for _ in range(8):
            time.sleep(0.1)
            assert not mine.take("000001")


def test_a_clock_that_jumps_expires_nothing(files, monkeypatch):
    with Leases(files) as other, Leases(files) as mine:
        assert other.take("000001")
        assert not mine.take("000001")
        monkeypatch.setattr(time, "time", lambda: 4e9)
        assert not mine.take("000001")


def test_a_store_out_of_reach_does_not_stop_the_heart(files, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.02)
    with Leases(files) as leases:
        write = Files.write
        with monkeypatch.context() as patch:
            patch.setattr(Files, "write", lambda self, name, content: (_ for _ in ()).throw(OSError("gone")))
            time.sleep(0.1)
        assert Files.write is write
        before = leases._signs
        time.sleep(0.1)
        assert leases._signs > before


def hold(folder: str, name: str) -> None:
    with Leases(Files(folder)) as leases:
        assert leases.take(name)
        time.sleep(60)


def test_what_a_killed_process_of_this_machine_held_is_free_at_once(tmp_path):
    process = start_function(hold, str(tmp_path), "000001")
    process.wait_until((tmp_path / "leases" / "000001.1").exists)
    with Leases(Files(str(tmp_path))) as mine:
        assert not mine.take("000001")
        process.kill()
        assert mine.take("000001")


def test_a_process_that_is_stopped_for_a_while_takes_nothing_back(tmp_path, monkeypatch):
    process = start_function(hold, str(tmp_path), "000001")
    process.wait_until((tmp_path / "leases" / "000001.1").exists)
    process.send(signal.SIGSTOP)
    monkeypatch.setattr(module, "EXPIRY", 0.2)
    with Leases(Files(str(tmp_path))) as mine, Leases(Files(str(tmp_path))) as third:
        mine.take("000001")
        time.sleep(0.3)
        assert mine.take("000001")
        process.send(signal.SIGCONT)
        assert not third.take("000001")
    process.kill()


def test_the_same_file_is_created_once(files):
    assert files.create("a/b", b"first")
    assert not files.create("a/b", b"second")
    assert files.read("a/b") == b"first"
    assert files.names("a") == ["b"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links(tmp_path, monkeypatch, code):
    def link(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)
    files = Files(str(tmp_path))
    test_the_same_file_is_created_once(files)
    test_one_of_many_gets_what_all_want(files)
    assert not list(tmp_path.rglob(".*"))


def test_a_lease_that_nobody_writes_is_free_after_a_while(tmp_path, monkeypatch):
    """Its process died between the creation and the content, which are two steps without hard links."""
    monkeypatch.setattr(module, "EXPIRY", 0.05)
    (tmp_path / "leases").mkdir()
    (tmp_path / "leases" / "000001.1").touch()
    with Leases(Files(str(tmp_path))) as mine:
        assert not mine.take("000001")
        time.sleep(0.1)
        assert mine.take("000001")


def test_signs_of_other_machines_are_not_looked_up_here(tmp_path, monkeypatch):
    files = Files(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(module, "_here", lambda: "elsewhere")
        patch.setattr(os, "getpid", lambda: 2**22 + 1)  # no process here
        other = Leases(files)
        other._beat()
    assert other.take("000001")
    with Leases(files) as mine:
        assert not mine.take("000001")
    assert Path(tmp_path / "leases" / "000001.1").exists()
