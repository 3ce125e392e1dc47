"""How often a store is asked: the number that the simulation of clusters counts with."""

from __future__ import annotations

from benchmarks.simulate_cluster import Cluster

from mutascope import Design, Screen, TextAssay
from mutascope.store.files import Files

TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=3)


def test_a_unit_takes_as_many_requests_as_are_simulated(llama, tmp_path, monkeypatch):
    asked, ask = [], Files._ask

    def count(self, call):
        asked.append(call)
        return ask(self, call)

    monkeypatch.setattr(Files, "_ask", count)
    screen = Screen(llama, TALE, Design(kinds=("v", "down"), sample=80), tile=8, engine="reference")
    screen.open(f"memory://{tmp_path.name}").prepare()
    assert screen.reader is not None  # loaded from here on
    counts = []
    for names in (screen.pending()[:2], screen.pending()[2:10]):
        asked.clear()
        screen.run_units(names)
        counts.append(len(asked))
    assert len(screen.units().sizes()) == 10
    few, many = counts
    assert (many - few) / 6 <= Cluster(1).requests
    assert (many - few) / 6 > Cluster(1).requests / 2
