"""Files of a folder, local or at any fsspec URL: read with checks, written in one step."""

from __future__ import annotations

import errno
import io
import os
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

import fsspec
import fsspec.config
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from mutascope.core.errors import MutascopeError
from mutascope.core.schema import FORMAT_VERSION
from mutascope.store.persistence import failures, persistently

ResultT = TypeVar("ResultT")
_OPTIONS = {
    "s3": {"config_kwargs": {"read_timeout": 30, "connect_timeout": 10, "retries": {"max_attempts": 1}}}
}
"""By protocol, what makes a client give up in minutes; its own tries and ours would add up to hours."""

UPLOAD = 180.0
"""Seconds for which an object may be on its way: the timeouts of clients hold while they wait for an answer, but not
while a server takes nothing more."""

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system without hard links answers."""


class DamagedError(Exception):
    """A Parquet file that is not as the format demands; says why."""


class Files:
    """The files of a folder by their names in it, ``records/000000.parquet``. Can be sent to workers.

    Raises:
        MutascopeError: when the URL has a protocol that is not known here, or one slash alone.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        if re.match(r"[a-z][a-z0-9]+:/[^/]", path):
            raise MutascopeError(f"{path} is neither a folder nor a URL, which begins like s3://")
        try:
            self._fs, self._root = fsspec.url_to_fs(path, **_options(path))
        except (ValueError, ImportError) as error:
            raise MutascopeError(f"{path} cannot be opened: {error}") from error

    def check_free(self) -> None:
        """Raise MutascopeError when the folder holds something that shows, or cannot be written. Writes nothing."""
        if self._is_there(self._root):
            names = map(os.path.basename, self._ask(lambda: self._fs.ls(self._root, detail=False)))
            if any(not name.startswith(".") for name in names) or not self._fs.isdir(self._root):
                raise MutascopeError(f"{self.path} exists and is not a screen folder: choose another --out")
        self.check_writable()

    def check_writable(self) -> None:
        """Raise MutascopeError when a local folder, or the one that it would be made in, is not writable."""
        if not self._is_local:
            return
        place = os.path.abspath(self._root)
        while not os.path.exists(place):
            place = os.path.dirname(place)
        if not os.path.isdir(place) or not os.access(place, os.W_OK | os.X_OK):
            raise MutascopeError(
                f"{self.path} is not writable: choose another --out, or change its permissions"
            )

    def exists(self, name: str) -> bool:
        """Whether there is such a file, by a look of its own at the store."""
        place = self._at(name)
        self._fs.invalidate_cache(os.path.dirname(place))
        return self._is_there(place)

    def names(self, folder: str) -> list[str]:
        """Return the names in a subfolder that show, of files and folders."""
        place = self._at(folder)
        self._fs.invalidate_cache(place)
        try:
            found = self._ask(lambda: self._fs.ls(place, detail=False))
        except FileNotFoundError:
            return []
        return [name for name in map(os.path.basename, found) if name[:1] not in ("", ".")]

    def tables(self, folder: str) -> list[str]:
        """Return the names of the Parquet files of a subfolder, without suffix, shorter ones first."""
        shown = [n.removesuffix(".parquet") for n in self.names(folder) if n.endswith(".parquet")]
        return sorted(shown, key=lambda name: (len(name), name))

    def moments(self, folder: str) -> dict[str, float]:
        """Return when the files of a subfolder that show were written, in seconds by name, where the store knows."""
        place = self._at(folder)
        self._fs.invalidate_cache(place)
        try:
            found = self._ask(lambda: self._fs.ls(place, detail=True))
        except FileNotFoundError:
            return {}
        named = {os.path.basename(entry["name"]): entry for entry in found}
        known = {
            name: entry.get("mtime", entry.get("LastModified", entry.get("created")))
            for name, entry in named.items()
            if name[:1] not in ("", ".")
        }
        return {
            name: at.timestamp() if isinstance(at, datetime) else at
            for name, at in known.items()
            if at is not None
        }

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return self._content(name)

    def read_table(
        self, name: str, schema: Mapping[str, Any], columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Return a Parquet file with at least the columns of the schema.

        Args:
            name: of the file.
            schema: types by column.
            columns: of the schema, to be read alone.

        Raises:
            DamagedError: when it is missing, cannot be read, or has other columns.
        """
        try:
            content = pa.BufferReader(self._content(name))
            # read as a data set, a small file takes three times as long
            file = pq.ParquetFile(content, page_checksum_verification=True)
            table = file.read(columns and list(columns))
            table.validate(full=True)
            bare = pa.table(dict(zip(table.column_names, table.columns, strict=True)))  # without metadata
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise DamagedError(str(error).partition("\n")[0]) from error
        if bare.num_columns < table.num_columns:
            raise DamagedError("it has two columns of one name")
        frame = pl.DataFrame(pl.from_arrow(bare))
        if any(frame.schema.get(column) != schema[column] for column in columns or schema):
            raise DamagedError("its columns are not those of the format")
        return frame

    def count_rows(self, name: str) -> int:
        """Return the number of rows of a Parquet file, from its footer alone.

        Raises:
            DamagedError: when it is missing, or the footer cannot be read.
        """
        try:
            return self._ask(lambda: self._count_rows(self._at(name)))
        except (OSError, pa.ArrowException) as error:
            raise DamagedError(str(error).partition("\n")[0]) from error

    def write(self, name: str, content: bytes) -> None:
        """Write a file in one step: a reader, or a crash, sees all of it or nothing.

        Raises:
            MutascopeError: when it cannot be written.
        """
        target = self._at(name)
        if not self._is_local:
            try:
                self._ask(lambda: self._put(target, content))
            except FileNotFoundError as error:  # no such bucket
                raise MutascopeError(f"{target} cannot be written: {error}") from error
            return
        try:
            os.replace(_scratch(target, content), target)
            _sync_folder(os.path.dirname(target))
        except OSError as error:
            raise MutascopeError(f"{target} cannot be written: {error.strerror}") from error

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that is not there yet, in one step; return whether it was this call that wrote it.

        Of several processes, one alone gets True, if the store can tell (local folders, S3, Google Cloud, Azure).

        Raises:
            MutascopeError: when it cannot be written.
        """
        target = self._at(name)
        try:
            if not self._is_local:
                return self._ask(lambda: self._create_once(target, content))
            _create(target, content)
            _sync_folder(os.path.dirname(target))
        except FileExistsError:
            return False
        except OSError as error:
            raise MutascopeError(f"{target} cannot be written: {error.strerror}") from error
        return True

    def write_table(self, name: str, frame: pl.DataFrame) -> None:
        """Write a Parquet file that says its format version."""
        self.write(name, encoded(frame))

    def remove(self, name: str) -> None:
        """Delete a file, if it is there.

        Raises:
            MutascopeError: when it cannot be deleted.
        """
        place = self._at(name)
        try:
            self._ask(lambda: self._fs.rm_file(place))
        except FileNotFoundError:  # another process may be faster
            pass
        except OSError as error:
            raise MutascopeError(f"{place} cannot be deleted: {error.strerror or error}") from error

    @property
    def _is_local(self) -> bool:
        return isinstance(self._fs, LocalFileSystem)

    def _ask(self, call: Callable[[], ResultT]) -> ResultT:
        """Return what a call of the file system returns; one of a store elsewhere is tried again where it fails."""
        return call() if self._is_local else persistently(self.path, call)

    def _is_there(self, place: str) -> bool:
        return os.path.exists(place) if self._is_local else self._ask(lambda: self._has(place))

    def _has(self, place: str) -> bool:
        """Whether there is such an object: fsspec's own ``exists`` takes an interrupt for a no."""
        try:
            self._fs.info(place)
        except FileNotFoundError:
            return False
        return True

    def _count_rows(self, place: str) -> int:
        with self._fs.open(place, "rb") as file:
            return pq.ParquetFile(file).metadata.num_rows

    def _create_once(self, target: str, content: bytes) -> bool:
        """Create an object, and look whose it is where that failed: an earlier try may have, whose answer was lost."""
        try:
            self._put(target, content, mode="create")
        except failures():
            if not self._has(target):
                raise
        return self._fs.cat_file(target) == content

    def _put(self, target: str, content: bytes, **how: Any) -> None:
        patience = {"timeout": UPLOAD} if self._fs.async_impl else {}
        self._fs.pipe_file(target, content, **how, **patience)

    def _content(self, name: str) -> bytes:
        return self._ask(lambda: self._fs.cat_file(self._at(name)))

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"


def _options(path: str) -> dict[str, Any]:
    """Return the options of a client, those left out that the user has configured (``FSSPEC_S3``)."""
    protocol = path.partition("://")[0]
    configured = fsspec.config.conf.get(protocol, {})
    return {name: value for name, value in _OPTIONS.get(protocol, {}).items() if name not in configured}


def encoded(frame: pl.DataFrame) -> bytes:
    """Return the Parquet file of a table."""
    buffer = io.BytesIO()
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    table = table.replace_schema_metadata({"mutascope.format_version": str(FORMAT_VERSION)})
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def _scratch(target: str, content: bytes) -> str:
    """Write a file that does not show beside the target, and return its path."""
    folder = os.path.dirname(target)
    os.makedirs(folder, exist_ok=True)
    scratch = f"{folder}/.{os.path.basename(target)}.{uuid.uuid4().hex}"
    try:
        with open(scratch, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(FileNotFoundError):
            os.remove(scratch)  # a full disk has no room for half a file
        raise
    return scratch


def _create(target: str, content: bytes) -> None:
    """Write a file, complete from the first moment; raise FileExistsError where there is one.

    A file system without hard links has a moment in which the file is there and empty: its creation alone is one step.
    """
    scratch = _scratch(target, content)
    try:
        os.link(scratch, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with open(target, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    finally:
        os.remove(scratch)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
