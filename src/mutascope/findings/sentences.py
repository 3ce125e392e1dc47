"""What was found, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from mutascope.core.errors import NotHere
from mutascope.findings.finding import Section
from mutascope.findings.list import all_findings
from mutascope.findings.screens import ScreenSet


def sentences(given: ScreenSet) -> Iterator[tuple[Section, list[str]]]:
    """Yield every section of the report that has something to say on the screens, with its sentences."""
    for section in (finding.section for finding in all_findings() if finding.section):
        try:
            said = list(section.sentences(given))
        except NotHere:
            continue
        if said:
            yield section, said
