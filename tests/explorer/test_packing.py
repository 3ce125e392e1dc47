import numpy as np
import pytest

from mutascope.explorer.packing import pack, unpack


def test_arrays_and_facts_come_back():
    arrays = {
        "a": np.arange(7, dtype=np.uint8),
        "b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "none": np.zeros(0, dtype=np.uint32),
        "big endian": np.array([1, -2], dtype=">i2"),
    }
    facts, found = unpack(pack(arrays, rows=3, title="é"))
    assert facts == {"rows": 3, "title": "é"}
    assert {name: array.tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in arrays.items()
    }


def test_every_array_begins_where_a_browser_can_view_it():
    data = pack({"a": np.zeros(3, dtype=np.uint8), "b": np.array([7], dtype=np.float32)}, odd="x")
    start = 4 + int.from_bytes(data[:4], "little")
    assert start % 8 == 0
    assert np.frombuffer(data, "<f4", 1, start + 8)[0] == 7


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="int64"):
        pack({"a": np.zeros(1, dtype=np.int64)})
