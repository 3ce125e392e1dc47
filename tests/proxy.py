"""Between a client and a server: passes on what they say, or refuses, hangs, or breaks off in the middle."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """A TCP proxy on loopback.

    Attributes:
        mode: ``pass``, ``refuse``, ``hang`` or ``half``: what happens to requests from now on.
        requests: how many were not passed on.
    """

    def __init__(self, host: str, port: int) -> None:
        self.mode, self.requests, self._to = "pass", 0, (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(self._to) as server:
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()
            while said := client.recv(65536):
                if self.mode == "pass":
                    server.sendall(said)
                    continue
                self.requests += 1
                if self.mode == "hang":
                    while self.mode == "hang":
                        threading.Event().wait(0.02)
                elif self.mode == "half":
                    server.sendall(said[: len(said) // 2])
                return

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while said := server.recv(65536):
                client.sendall(said)
            client.shutdown(socket.SHUT_RDWR)
