"""mutascope: map what the parameters of a language model do, by mutating them.

The public names stand in ``__init__.pyi``. They are imported when they are asked for, so that reading results does not
wait for torch.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
