"""Keeping what a benchmark found, for benchmarks.tables."""

import json
from pathlib import Path
from typing import Any


def save(path: Path | None, found: dict[str, Any]) -> None:
    """Write what was found as JSON, where a file was named."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n")
