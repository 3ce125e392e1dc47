"""The exceptions that are meant for people."""


class MutascopeError(Exception):
    """Bad input or a refused operation, told in one clear sentence.

    The command line prints the message without a traceback and exits with :attr:`exit_code`.
    """

    exit_code = 2


class Terminated(KeyboardInterrupt):
    """SIGTERM: whoever lends the machine takes it back. Like an interrupt from the keyboard, but for the exit code."""


class Stopped(MutascopeError):
    """A job was interrupted; the message says what is stored.

    Args:
        message: one sentence.
        exit_code: 130 after an interrupt from the keyboard, 143 after SIGTERM.
    """

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Unsupported(MutascopeError):
    """Something sound that a part of mutascope does not implement; whoever asks may fall back on another part."""


class NotHere(MutascopeError):
    """Sound data that cannot make one table or figure; the message says what that takes. The others go on."""


def nearest(name: object, known: list[str]) -> str:
    """Return a hint that names the known word nearest to ``name``, or lists them all.

    Args:
        name: what was stated; keys of YAML may be of any type.
        known: words.

    >>> nearest("temprature", ["seed", "temperature"])
    "did you mean 'temperature'?"
    """
    import difflib

    match = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {match[0]!r}?" if match else f"known are: {', '.join(known)}"
