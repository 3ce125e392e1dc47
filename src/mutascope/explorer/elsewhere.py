"""Findings by a process of its own: what they take of memory and time is not the server's."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection

from mutascope.core.errors import MutascopeError
from mutascope.explorer.told import Found, found_here
from mutascope.findings import open_many

_CONTEXT = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang


def found_elsewhere(folders: Sequence[str]) -> Iterator[Found]:
    """Yield name, title and sentences of every section on the screens in these folders, found by another process.

    The process ends with the iterator, and with this process.

    Raises:
        MutascopeError: when a screen cannot be read, or the process was killed.
    """
    said, say = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_find, args=(list(folders), say), daemon=True)
    process.start()
    say.close()
    try:
        while True:
            name, title, sentences = json.loads(said.recv_bytes())
            if name is None:
                raise MutascopeError(sentences[0])
            yield name, title, sentences
    except EOFError:
        process.join()
        if process.exitcode:
            raise MutascopeError(
                f"the findings ended early, with exit code {process.exitcode}: perhaps the memory did not suffice"
            ) from None
    finally:
        process.terminate()
        process.join()


def _find(folders: Sequence[str], say: Connection) -> None:
    """Be the process: send sections as they are found, or the reason why there are none, without a name."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends, and this with it
    threading.Thread(target=_end_with_server, daemon=True).start()
    try:
        for section in found_here(lambda: open_many(folders)):
            say.send_bytes(json.dumps(section).encode())
    except MutascopeError as error:
        say.send_bytes(json.dumps((None, "", [str(error)])).encode())


def _end_with_server() -> None:
    server = multiprocessing.parent_process()
    assert server is not None
    server.join()
    os._exit(1)
