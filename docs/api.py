"""The page of the Python API, made of signatures and docstrings."""

import inspect
import re
from typing import Any

import mutascope

HEAD = """# Python API

Everything that `import mutascope` offers. Names are imported when they are asked for, so reading results does not
wait for torch.
"""


def api_page() -> str:
    """Return a section for every public name, in order of the alphabet."""
    return "\n".join([HEAD, *(_section(name) for name in sorted(mutascope.__all__))])


def _section(name: str) -> str:
    thing = getattr(mutascope, name)
    members = [_entry(f"{name}.{key}", value) for key, value in _members(thing)]
    return "\n".join([f"## {name}\n", _entry(name, thing), *members])


def _members(thing: Any) -> list[tuple[str, Any]]:
    """Return the public methods and properties of a class that mutascope's own classes define."""
    classes = [kind for kind in getattr(thing, "__mro__", ()) if kind.__module__.startswith("mutascope")]
    found = {key: value for kind in reversed(classes) for key, value in vars(kind).items()}
    return [(key, value) for key, value in found.items() if not key.startswith("_") and _told(value)]


def _told(value: Any) -> bool:
    return isinstance(value, property | classmethod | staticmethod) or inspect.isfunction(value)


def _entry(name: str, value: Any) -> str:
    """Return a signature and a docstring, as code and as text."""
    function = getattr(value, "__func__", value)
    plain = isinstance(value, property) or (inspect.isclass(value) and issubclass(value, Exception))
    call = name if plain else name + _signature(function)
    return f"```python\n{call}\n```\n\n```text\n{inspect.getdoc(value)}\n```\n"


def _signature(function: Any) -> str:
    """Return the parameters, one a line where they are many."""
    parameters = [p for key, p in inspect.signature(function).parameters.items() if key != "self"]
    words = [_word(each) for each in parameters]
    named = [index for index, each in enumerate(parameters) if each.kind is each.KEYWORD_ONLY]
    if named and not any(each.kind is each.VAR_POSITIONAL for each in parameters):
        words.insert(named[0], "*")
    short = f"({', '.join(words)})"
    return short if len(short) < 80 else "(\n" + "".join(f"    {word},\n" for word in words) + ")"


def _word(parameter: inspect.Parameter) -> str:
    """Return name, type and default, without the modules of types and what pydantic adds to them."""
    if parameter.default is parameter.empty:
        default = ""
    else:
        plain = isinstance(parameter.default, str | int | float | tuple | None)
        default = f" = {parameter.default!r}" if plain else " = ..."
    declared = str(parameter.replace(default=parameter.empty))
    bare = re.sub(r"'|\b(?:[a-z_]+\.)+(?=[A-Z])|, [GL]e\([gl]e=\d+\)", "", declared)
    return re.sub(r"Annotated\[([^\[\]]+)\]", r"\1", bare) + default
