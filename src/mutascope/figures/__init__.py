"""Figures: frames and maps in, matplotlib ``Figure`` out. Nothing here imports torch, or knows of screens.

The names stand in ``__init__.pyi``; matplotlib is imported when the first of them is asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
