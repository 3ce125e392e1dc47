"""Small tables for notebooks; everything is escaped, model output included."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape


def rows_to_html(title: str, rows: Mapping[str, object]) -> str:
    """Return a two-column HTML table."""
    body = "".join(f"<tr><th>{escape(str(k))}</th><td>{escape(str(v))}</td></tr>" for k, v in rows.items())
    return f"<table><caption>{escape(title)}</caption>{body}</table>"
