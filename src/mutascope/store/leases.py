"""Leases: who of several processes does what in a folder that they share (docs/format.md, 5.8)."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from mutascope.core import stopping
from mutascope.core.errors import MutascopeError
from mutascope.store.files import Files

BEAT = 5.0
"""Seconds between two signs of life of a holder."""
EXPIRY = 60.0
"""Seconds without a new sign, on the clock of who waits for one, after which a holder is taken for dead."""
POLL = 1.0
"""Seconds between two looks at what another process holds."""


@dataclass(frozen=True)
class Usage:
    """The most memory that a process has had so far.

    Attributes:
        memory: main memory, in bytes.
        card_memory: that of its card, in bytes, 0 without one.
        card: name of the card, empty without one.
    """

    memory: int
    card_memory: int = 0
    card: str = ""

    @property
    def told(self) -> str:
        """In words."""
        told = f"a process has had up to {self.memory / 1e9:.1f} GB"
        return told + (f", and {self.card_memory / 1e9:.1f} GB of its {self.card}" if self.card else "")


@dataclass(frozen=True)
class Sign:
    """A sign of life of a holder.

    Attributes:
        place: in which its process id has a meaning.
        process: its id.
        count: how many signs it has given.
        usage: where it says so.
    """

    place: str
    process: int
    count: int
    usage: Usage | None

    @classmethod
    def parse(cls, content: bytes) -> Sign | None:
        """Return what a sign says, None for one that cannot be read."""
        try:
            place, process, count, *used = content.decode().split(" ", 5)
            usage = Usage(int(used[0]), int(used[1]), used[2]) if used else None
            return cls(place, int(process), int(count), usage)
        except (ValueError, IndexError):
            return None

    def encode(self) -> bytes:
        """Return it as it is stored."""
        used = () if self.usage is None else (self.usage.memory, self.usage.card_memory, self.usage.card)
        return " ".join(map(str, (self.place, self.process, self.count, *used))).encode()


class Leases:
    """What this process holds in a folder, and what it has seen of other holders; all is released at the end.

    A lease is a file that is created once: ``<name>.<n>`` with the holder's id, n one more than that of a dead holder.
    It lasts as long as its holder shows signs of life. No clock is compared with another one.

    Args:
        files: of the folder.
        usage: asked at every sign of life, which tells it; by default it does not.
    """

    def __init__(self, files: Files, usage: Callable[[], Usage] | None = None) -> None:
        self._files, self._holder, self._usage = files, uuid.uuid4().hex, usage
        self._held: dict[str, int] = {}
        self._seen: dict[str, tuple[bytes, float]] = {}
        self._signs = 0
        self._over = threading.Event()
        self._pulse = threading.Thread(target=self._beat_regularly, daemon=True)

    def __enter__(self) -> Self:
        self._beat()
        self._pulse.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._over.set()
        self._pulse.join()
        for name in list(self._held):
            self.release(name)
        self._files.remove(_sign(self._holder))

    def take(self, name: str) -> bool:
        """Return whether this process holds what has this name from now on."""
        if name in self._held:
            return True
        last = max(self._numbers(name), default=0)
        if last and self._is_alive(name, last):
            return False
        if not self._files.create(_lease(name, last + 1), self._holder.encode()):
            return False
        self._held[name] = last + 1
        return True

    def release(self, name: str) -> None:
        """Give up a lease, and remove those of dead holders before it."""
        mine = self._held.pop(name)
        for number in sorted(self._numbers(name)):  # as long as the last one is there, it is held
            if number <= mine:
                self._files.remove(_lease(name, number))

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Hold a lease during the block; wait until it is free."""
        while not self.take(name):
            self.wait()
        try:
            yield
        finally:
            self.release(name)

    def names(self) -> set[str]:
        """Return the names of what anybody holds, dead processes included."""
        return {name for file in self._files.names("leases") if (name := file.rpartition(".")[0])}

    def wait(self) -> None:
        """Let the time pass until another look at what others hold is worth it.

        Raises:
            KeyboardInterrupt: when this process was asked to stop (:mod:`mutascope.core.stopping`).
        """
        stopping.check()
        time.sleep(POLL)

    def _numbers(self, name: str) -> list[int]:
        split = (file.rpartition(".") for file in self._files.names("leases"))
        return [int(number) for of, _, number in split if of == name and number.isdecimal()]

    def _is_alive(self, name: str, number: int) -> bool:
        try:
            holder = self._files.read(_lease(name, number)).decode("ascii", "replace")
        except FileNotFoundError:  # given up meanwhile: who looks again sees who has it now
            return True
        try:
            # one that is created and not written yet, for want of hard links, or damaged, shows no sign of life
            sign = self._files.read(_sign(holder)) if holder.isalnum() else b""
        except FileNotFoundError:  # its holder has ended
            return False
        told = Sign.parse(sign)
        if told is not None and told.place == _here() and not _runs(told.process):
            return False
        now, watched = time.monotonic(), holder or _lease(name, number)
        known, since = self._seen.get(watched, (None, now))
        if sign != known:
            self._seen[watched] = sign, now
            return True
        return now - since < EXPIRY

    def _beat(self) -> None:
        self._signs += 1
        usage = None if self._usage is None else self._usage()
        sign = Sign(_here(), os.getpid(), self._signs, usage)
        self._files.write(_sign(self._holder), sign.encode())

    def _beat_regularly(self) -> None:
        while not self._over.wait(BEAT):
            with suppress(
                OSError, MutascopeError
            ):  # a store that is out of reach may be back at the next beat
                self._beat()


def holders(files: Files) -> int:
    """Return how many processes show signs of life in a folder, those that died within a minute included.

    The times are the store's own, and none is compared with the clock of a process. A store that knows none has 0.
    """
    return len(_recent(files))


def signs(files: Files) -> list[Sign]:
    """Return the last sign of life of each of them."""
    found = []
    for holder in _recent(files):
        with suppress(FileNotFoundError):  # it has ended meanwhile
            found.append(Sign.parse(files.read(_sign(holder))))
    return [sign for sign in found if sign is not None]


def _recent(files: Files) -> list[str]:
    moments = files.moments("leases/holders")
    return [holder for holder, moment in moments.items() if max(moments.values()) - moment < EXPIRY]


def _lease(name: str, number: int) -> str:
    return f"leases/{name}.{number}"


def _sign(holder: str) -> str:
    return f"leases/holders/{holder}"


def _here() -> str:
    """Return a word for the place in which a process id has a meaning: this boot of this machine, this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return uuid.UUID(int=uuid.getnode()).hex


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
