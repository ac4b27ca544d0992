"""Files that may be packed: .csv, .csv.gz and .zip, read from their start or at a place, and written whole."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from segkit.files import replacing

BROKEN = (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile, NotImplementedError)


class Source:
    """The bytes of a file, unpacked; ValueError where it is no regular file, is broken or has changed meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._unpacked: BinaryIO | None = None
        with path.open("rb") as handle:
            self._state = _state(handle)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """A handle at the first byte."""
        with self.path.open("rb") as handle:
            self._check(handle)
            try:
                yield _unpacked(handle, self.path)
            except BROKEN as error:
                raise ValueError(f"{self.path} cannot be unpacked: {error}") from error

    def read(self, offset: int, size: int) -> bytes:
        """Bytes at a place. A packed file is unpacked once, into a temporary file that goes with this object."""
        if not _is_packed(self.path):
            with self.path.open("rb", buffering=0) as handle:
                self._check(handle)
                handle.seek(offset)
                return handle.read(size)
        with self._lock:
            if self._unpacked is None:
                self._unpacked = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as this object)
                with self.open() as packed:
                    shutil.copyfileobj(packed, self._unpacked, 2**20)
                self._unpacked.flush()
            if hasattr(os, "pread"):  # leaves the place alone that forked processes share
                return os.pread(self._unpacked.fileno(), size, offset)
            self._unpacked.seek(offset)
            return self._unpacked.read(size)

    def _check(self, handle: BinaryIO) -> None:
        if _state(handle) != self._state:
            raise ValueError(f"{self.path} has changed since it was first looked at; read it again")


@contextmanager
def writing(path: str | Path) -> Iterator[TextIO]:
    """A text handle for a file that takes its place when it is whole, packed where its name ends in .gz or .zip."""
    path = Path(path)
    with replacing(path) as part:
        if path.suffix.lower() == ".gz":
            with (
                part.open("wb") as raw,
                gzip.GzipFile("", "wb", 6, raw, mtime=0) as zipped,
                io.TextIOWrapper(zipped, encoding="utf-8", newline="") as handle,
            ):
                yield handle
        elif path.suffix.lower() == ".zip":
            name = path.stem if path.stem.lower().endswith(".csv") else f"{path.stem}.csv"
            member = zipfile.ZipInfo(name)  # without a date: equal masks, equal bytes
            member.compress_type = zipfile.ZIP_DEFLATED
            with (
                zipfile.ZipFile(part, "w") as archive,
                archive.open(member, "w", force_zip64=True) as packed,
                io.TextIOWrapper(packed, encoding="utf-8", newline="") as handle,
            ):
                yield handle
        else:
            with part.open("w", newline="", encoding="utf-8") as handle:
                yield handle


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() in (".gz", ".zip")


def _unpacked(handle: BinaryIO, path: Path) -> BinaryIO:
    """The handle of what a file holds."""
    if path.suffix.lower() == ".gz":
        return io.BufferedReader(gzip.GzipFile(fileobj=handle))
    if path.suffix.lower() != ".zip":
        return handle
    archive = zipfile.ZipFile(handle)
    if any(info.flag_bits & 1 for info in archive.infolist()):
        raise ValueError(f"{path} is encrypted; unpack it first")
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    tables = [name for name in names if name.lower().endswith(".csv") and not _is_hidden(name)]
    if len(tables) != 1:
        raise ValueError(f"{path}: expected one CSV in it, got {', '.join(tables or names) or 'nothing'}")
    return archive.open(tables[0])  # type: ignore[return-value]


def _is_hidden(name: str) -> bool:
    """Of what macOS and editors leave in archives."""
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _state(handle: BinaryIO) -> tuple[int, int, int]:
    """What changes with a file's content."""
    found = os.fstat(handle.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{handle.name} is no regular file; it is read more than once, so save it to one first")
    return found.st_ino, found.st_size, found.st_mtime_ns
