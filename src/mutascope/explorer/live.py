"""Mutants that are asked anything: what they say comes as server-sent events, a piece at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Protocol

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Mutant
from mutascope.explorer.shapes import Said


class Speaker(Protocol):
    """Says what mutants put out (:class:`mutascope.run.live.Live`)."""

    def say(
        self,
        prompt: str,
        columns: Sequence[Sequence[Mutant]],
        *,
        dose: float = ...,
        seed: int = ...,
        temperature: float = ...,
        max_new_tokens: int = ...,
    ) -> Iterator[Any]:
        """Yield pieces of text: ``column``, ``text`` and ``end``."""
        ...


def live_route(speaker: Speaker, headers: Mapping[str, str]) -> Route:
    """Return the route ``/live``.

    It is asked with ``prompt``, ``column`` (any number of times: mutants with a + between them; empty: the wild type)
    and perhaps ``dose``, ``seed``, ``temperature`` and ``length``. The last one to ask is answered: who asked before
    gets no more.
    """
    turns, turn, lock = count(1), [0], threading.Lock()

    def events(query: QueryParams) -> Iterator[str]:
        mine = turn[0] = next(turns)
        with lock:
            try:
                for said in speaker.say(**asked(query)):
                    if mine != turn[0]:
                        return
                    yield _event("said", Said(column=said.column, text=said.text, end=said.end))
            except MutascopeError as refused:
                yield _event("refused", str(refused))
        yield _event("done", None)

    def live(request: Request) -> Response:
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return PlainTextResponse("other pages may not ask", 403, dict(headers))
        return StreamingResponse(
            events(request.query_params), headers=dict(headers), media_type="text/event-stream"
        )

    return Route("/live", live)


def asked(query: QueryParams) -> dict[str, Any]:
    """Return the arguments of :meth:`Speaker.say` that a query states.

    Raises:
        MutascopeError: for what is no mutant or no number.
    """
    columns = [
        [Mutant.parse(name) for name in column.split("+")] if column.strip() else []
        for column in query.getlist("column")
    ]
    try:
        return {
            "prompt": query.get("prompt", ""),
            "columns": columns,
            "dose": float(query.get("dose", 1)),
            "seed": int(query.get("seed", 0)),
            "temperature": float(query.get("temperature", 0.7)),
            "max_new_tokens": int(query.get("length", 100)),
        }
    except ValueError as error:
        raise MutascopeError(f"dose, seed, temperature and length are numbers: {error}") from error


def _event(name: str, value: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"
