"""The atlas on loopback: pages made when they are asked for, and nothing from anywhere else."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mutascope.core.errors import MutascopeError
from mutascope.explorer.atlas import FINDINGS, Atlas, media_type
from mutascope.explorer.live import Speaker, live_route

HOST = "127.0.0.1"
PORT = 8642
_TRIES = 100
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def application(atlas: Atlas, speaker: Speaker | None = None) -> Starlette:
    """Return the web application of an atlas, which answers to loopback names alone.

    Args:
        atlas: the atlas.
        speaker: says what mutants put out, where they can be asked.
    """
    turn = threading.Lock()  # a page is made once

    def page(request: Request) -> Response:
        path = request.path_params["path"] or "index.html"
        if path == FINDINGS:  # takes minutes, and maps go on
            return StreamingResponse(iter(atlas.findings), headers=HEADERS, media_type=media_type(path))
        try:
            with turn:
                if path == "data/atlas.json":
                    atlas.refresh()
                found = atlas.read(path)
        except KeyError:
            return Response("there is no such page", 404, HEADERS, "text/plain")
        except FileNotFoundError as error:
            return Response(f"{error.filename} was there and is gone", 503, HEADERS, "text/plain")
        except MutascopeError as error:
            return Response(str(error), 503, HEADERS, "text/plain")
        return Response(found, headers=HEADERS, media_type=media_type(path))

    return Starlette(
        routes=[*([live_route(speaker, HEADERS)] if speaker else []), Route("/{path:path}", page)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
    )


def free_socket(port: int) -> socket.socket:
    """Return a socket that listens on loopback, at the port or the next one that is free.

    Raises:
        MutascopeError: when none of a hundred is.
    """
    for tried in range(port, min(port + _TRIES, 2**16)):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, tried))
        except OSError as error:
            listening.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise MutascopeError(f"cannot listen on {HOST}: {error.strerror}") from error
        else:
            listening.listen()  # whoever is told the address is answered
            return listening
    raise MutascopeError(f"no port from {port} on is free: choose another with --port")


def serve(
    atlas: Atlas,
    *,
    port: int = PORT,
    browser: bool = True,
    speaker: Speaker | None = None,
    tell: Callable[[str], None] = print,
) -> None:
    """Serve an atlas until it is interrupted.

    Args:
        atlas: the atlas.
        speaker: says what mutants put out, where they can be asked.
        port: where to listen, or at the next free one; 0: at any.
        browser: open the address in a browser, where there is a display.
        tell: is given the address.

    Raises:
        MutascopeError: when no port is free.
    """
    import uvicorn

    listening = free_socket(port)
    address = f"http://{HOST}:{listening.getsockname()[1]}/"
    tell(f"{address}   (Ctrl-C ends it)")
    if browser and has_display():
        threading.Timer(0.5, webbrowser.open, [address]).start()
    settings = uvicorn.Config(application(atlas, speaker), log_level="warning", lifespan="off")
    uvicorn.Server(settings).run([listening])


def has_display() -> bool:
    """Whether a browser would be seen."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
