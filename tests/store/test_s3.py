"""Screens in a bucket of an S3 server that runs here, and fails when it is told to."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path

import fsspec.config
import pytest

from builders import tiny_model
from mutascope import Design, MutascopeError, Screen, ScreenData, TextAssay
from mutascope.engine.reference import ReferenceSession
from mutascope.run.executors.processes import Processes
from mutascope.run.verify import verify
from mutascope.store import ScreenFolder, files, leases, persistence
from mutascope.store.files import Files
from processes import start_function
from proxy import Proxy

pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=5, temperature=0.7)
DESIGN = Design(kinds=("v", "down"), sample=40)
SECRET = "a-secret-that-is-nowhere-stored"
QUICK = {"config_kwargs": {"read_timeout": 1, "connect_timeout": 1, "retries": {"max_attempts": 1}}}


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """Before the server."""
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    proxy = Proxy(*running.get_host_and_port())
    yield proxy
    proxy.close()
    running.stop()


@pytest.fixture
def bucket(proxy, tmp_path, monkeypatch) -> Iterator[str]:
    """URL of a new bucket; requests fail within a second or so."""
    for name, value in environment(proxy.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(fsspec.config.conf, "s3", QUICK)
    monkeypatch.setattr(persistence, "PAUSES", (0.1, 0.1, 0.1))
    monkeypatch.setattr(files, "UPLOAD", 2.0)
    s3fs = import_module("s3fs")
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 2)
    name = f"bucket-{time.monotonic_ns()}"
    proxy.mode = "pass"
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}/screen"
    proxy.mode = "pass"


def environment(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def contents(folder: str) -> dict[str, bytes]:
    fs, root = fsspec.url_to_fs(folder)
    fs.invalidate_cache()
    return {name.removeprefix(f"{root}/"): fs.cat_file(name) for name in fs.find(root)}


def test_one_of_many_creates_an_object(bucket):
    won = []

    def create(number: int) -> None:
        if Files(bucket).create("leases/000000.1", str(number).encode()):
            won.append(str(number).encode())

    threads = [threading.Thread(target=create, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [Files(bucket).read("leases/000000.1")]


@pytest.mark.parametrize("mode", ["refuse", "hang", "half"])
def test_a_server_that_fails_for_a_moment_delays(bucket, proxy, mode):
    held = Files(bucket)
    held.write("records/a.parquet", b"before")
    proxy.mode = mode
    threading.Timer(0.5, setattr, (proxy, "mode", "pass")).start()
    held.write("records/a.parquet", 100_000 * b"after")
    assert held.read("records/a.parquet") == 100_000 * b"after"


@pytest.mark.parametrize("mode", ["refuse", "hang", "half"])
def test_a_server_that_goes_on_failing_is_one_sentence_and_leaves_what_was_there(
    bucket, proxy, mode, monkeypatch
):
    monkeypatch.setattr(persistence, "PAUSES", (0.1,))
    held = Files(bucket)
    held.write("records/a.parquet", b"before")
    proxy.mode, proxy.requests = mode, 0
    with pytest.raises(
        MutascopeError, match=r"^s3://\S+ is out of reach \(.*\): check its address and the credentials"
    ):
        held.write("records/a.parquet", 100_000 * b"after")
    assert proxy.requests >= 2
    with pytest.raises(MutascopeError, match="is out of reach"):
        held.exists("records/a.parquet")
    proxy.mode = "pass"
    assert held.read("records/a.parquet") == b"before"


def test_a_bucket_that_is_not_there_is_told(bucket, llama):
    with pytest.raises(MutascopeError, match=r"cannot be written|is out of reach"):
        Screen(llama, TALE, DESIGN, tile=8).run("s3://nobody-has-this-bucket/screen", quiet=True)


def test_no_credentials_are_told_at_once(bucket, monkeypatch):
    s3fs = import_module("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(MutascopeError, match=r"is out of reach \(Unable to locate credentials\)"):
        Files(bucket).write("manifest.json", b"")


def test_a_screen_in_a_bucket_is_that_of_a_folder_and_holds_no_credentials(bucket, llama, tmp_path):
    for out in (bucket, tmp_path):
        Screen(llama, TALE, DESIGN, tile=8).run(out, quiet=True)
    mine = ScreenData(bucket)
    assert mine.finished
    assert mine.records().equals(ScreenData(tmp_path).records())
    assert verify(ScreenFolder(bucket)) == []
    stored = contents(bucket)
    assert "manifest.json" in stored
    assert not any(SECRET.encode() in content or b"someone" in content for content in stored.values())
    before = stored
    assert Screen(llama, TALE, DESIGN, tile=8).run(bucket, quiet=True).fresh == 0
    assert contents(bucket) == before


def test_a_screen_outlives_a_store_that_fails_now_and_then(bucket, proxy, llama, tmp_path):
    over = threading.Event()

    def disturb() -> None:
        for number in range(1000):
            if over.wait(0.3):
                return
            proxy.mode = ("refuse", "half", "hang")[number % 3]
            over.wait(0.1)
            proxy.mode = "pass"

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        Screen(llama, TALE, DESIGN, tile=8, engine="reference").run(bucket, quiet=True)
    finally:
        over.set()
        thread.join()
    proxy.mode = "pass"
    Screen(llama, TALE, DESIGN, tile=8, engine="reference").run(tmp_path, quiet=True)
    assert ScreenData(bucket).records().equals(ScreenData(tmp_path).records())


def work(model: str, out: str, log: str, settings: dict[str, str]) -> None:
    """Run the screen; the log gets a line per mutant. Holders that show no sign of life for 5 seconds are dead."""
    os.environ.update(settings)
    leases.POLL, leases.BEAT, leases.EXPIRY, run = 0.2, 0.5, 5.0, ReferenceSession.run

    def run_and_note(self, mutants):
        with Path(log).open("a", buffering=1) as file:
            for outcome in run(self, mutants):
                time.sleep(0.05)
                file.write(f"{outcome.mutant}\n")
                yield outcome

    ReferenceSession.run = run_and_note
    Screen(model, TALE, DESIGN, tile=8, engine="reference").run(out, quiet=True)


class Four:
    """Four workers on one bucket."""

    def __init__(self, bucket: str, url: str, folder: Path) -> None:
        model, self.bucket = str(tiny_model(folder / "model", "llama")), bucket
        self.logs = [folder / name for name in "abcd"]
        settings = environment(url)
        self.workers = [start_function(work, model, bucket, str(log), settings) for log in self.logs]

    def ran(self) -> list[list[str]]:
        """The mutants that each of them has run."""
        return [log.read_text().splitlines() if log.exists() else [] for log in self.logs]

    def check(self) -> None:
        mine = ScreenData(self.bucket)
        assert (mine.finished, len(mine.records())) == (True, 80)
        assert not any(name.startswith("leases/") for name in contents(self.bucket))


def test_four_workers_with_leases_in_a_bucket_run_every_mutant_once(bucket, proxy, tmp_path):
    four = Four(bucket, proxy.url, tmp_path)
    assert [worker.wait(240) for worker in four.workers] == [0, 0, 0, 0]
    assert Counter(chain(*four.ran())).total() == 80
    four.check()


def test_what_runs_twice_was_held_by_a_worker_that_slept_beyond_its_expiry(bucket, proxy, tmp_path):
    four = Four(bucket, proxy.url, tmp_path)
    asleep = four.workers[0]
    asleep.wait_until(lambda: len(four.ran()[0]) >= 3)
    asleep.send(signal.SIGSTOP)
    assert [worker.wait(240) for worker in four.workers[1:]] == [0, 0, 0]
    asleep.send(signal.SIGCONT)
    assert asleep.wait(240) == 0
    mine, others = Counter(four.ran()[0]), Counter(chain(*four.ran()[1:]))
    assert max(others.values()) == 1
    assert 0 < Counter(mine + others).total() - 80 <= 16  # a unit at most
    four.check()


def test_workers_of_one_driver_share_a_bucket(bucket, tmp_path):
    model = str(tiny_model(tmp_path / "model", "llama"))
    screen = Screen(model, TALE, DESIGN, tile=8, engine="reference")
    screen.run(bucket, quiet=True, executor=Processes(2))
    assert ScreenData(bucket).finished
