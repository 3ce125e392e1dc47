"""What every refusal has in common: one sentence, exit code 2, nothing written."""

from pathlib import Path

ASSAY = "prompt: 'Once upon a time:'\nmax_new_tokens: 4\n"


def tree(folder: Path = Path()) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def check_refused(result, *words: str) -> str:
    """One line, exit code 2; returns the sentence."""
    assert result.code == 2, result
    assert "Traceback" not in result.err
    lines = result.err.strip().splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("mutascope: ")
    for word in words:
        assert word in lines[0], lines[0]
    return lines[0]
