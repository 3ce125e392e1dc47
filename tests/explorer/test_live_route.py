"""Mutants that are asked over HTTP, with a speaker that says what it is told."""

import json
from types import SimpleNamespace

import pytest

pytest.importorskip("starlette", reason="the server takes the extra explorer")

from starlette.testclient import TestClient

from mutascope import Mutant, MutascopeError
from mutascope.explorer.server import HOST, application


class Parrot:
    def say(self, prompt, columns, **settings):
        self.asked = prompt, columns, settings
        if prompt == "":
            raise MutascopeError("an empty prompt")
        for place in range(len(columns)):
            yield SimpleNamespace(column=place, text=prompt, end="length")


@pytest.fixture
def parrot():
    return Parrot()


@pytest.fixture
def client(atlas, parrot):
    return TestClient(application(atlas, parrot), base_url=f"http://{HOST}")


def events(answer):
    pairs = [block.split("\n", 1) for block in answer.text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in pairs]


def test_pieces_come_as_events(client, parrot):
    query = [("prompt", "fly"), ("column", ""), ("column", "0.v:1,2:max + 1.down:0,0:min"), ("dose", "0.5")]
    answer = client.get("/live", params=query)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    wanted = [("said", {"column": place, "text": "fly", "end": "length"}) for place in (0, 1)]
    assert events(answer) == [*wanted, ("done", None)]
    columns = [[], [Mutant(0, "v", 1, 2, "max"), Mutant(1, "down", 0, 0, "min")]]
    settings = {"dose": 0.5, "seed": 0, "temperature": 0.7, "max_new_tokens": 100}
    assert parrot.asked == ("fly", columns, settings)


@pytest.mark.parametrize("query", [{"column": "what"}, {"seed": "x"}, {"prompt": ""}])
def test_what_cannot_be_said_is_told(client, query):
    told = events(client.get("/live", params={"prompt": "fly", **query}))
    assert [name for name, _ in told] == ["refused", "done"]
    assert told[0][1]


def test_other_pages_may_not_ask(client):
    answer = client.get("/live", params={"prompt": "x"}, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403


def test_without_a_model_there_is_nobody_to_ask(atlas):
    client = TestClient(application(atlas), base_url=f"http://{HOST}")
    assert client.get("/live", params={"prompt": "fly"}).status_code == 404
