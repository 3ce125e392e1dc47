"""The atlas in the browser: screens as pages of data, a server on loopback, and a static folder."""

from mutascope.explorer.atlas import Atlas
from mutascope.explorer.site import write_site

__all__ = ["Atlas", "write_site"]
