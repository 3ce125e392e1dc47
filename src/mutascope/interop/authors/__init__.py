"""The log files of the paper's authors, read into a screen folder and written from one (docs/reference/authors.md)."""

from mutascope.interop.authors.importing import Imported, import_authors
from mutascope.interop.authors.reading import AuthorsFiles
from mutascope.interop.authors.writing import Exported, export_authors

__all__ = ["AuthorsFiles", "Exported", "Imported", "export_authors", "import_authors"]
