"""Durable files: a reader finds all of a file or none of it, even after a power cut."""

import os
import re
import uuid
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from kombu.exceptions import ConnectionError as BrokerConnectionError


class BrokerFolderError(BrokerConnectionError):
    """The broker's folder cannot be used; the text says what to do. As a connection error it leads to a new attempt."""


def write_durably(path: Path, data: bytes) -> None:
    """Create or replace the file `path`, whole. When this returns, the file survives a power cut.

    Raises OSError, which names the folder (FileNotFoundError if that is gone). Then the file is as it was before, unless
    only its folder could not be flushed.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        try:
            _write(temporary, data)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):  # it is swept later
                remove_if_there(temporary)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path.parent)
        raise


def _write(path: Path, data: bytes) -> None:
    descriptor = open_or_make(path, os.O_WRONLY | os.O_EXCL)
    try:
        left = memoryview(data)
        while left:  # a disk with little room takes a part, and refuses the rest when it is asked again
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_or_make(path: Path | str, flags: int) -> int:
    """Return a descriptor of the file `path`; a new file is as private as its folder."""
    return os.open(path, flags | os.O_CREAT, _mode(Path(path).parent) & 0o666)


def make_folder(path: Path) -> None:
    """Create the folder `path` durably, as private as its parent, which must exist; unless it exists."""
    try:
        path.mkdir(_mode(path.parent))
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        _sync_folder(path.parent)


def remove_if_there(path: Path) -> None:
    """Remove the file `path`, unless somebody else already did."""
    path.unlink(missing_ok=True)


def name_to_file(name: str) -> str:
    """Return `name` as one path component that neither leaves its folder nor hides in it."""
    if not name:
        raise BrokerFolderError("A queue or exchange of the embedded broker needs a name.")
    return re.sub(r"^\.", "%2E", quote(name, safe=""))


def file_to_name(file: str) -> str:
    """Return the name from which `name_to_file` made `file`."""
    return unquote(file)


def _mode(folder: Path) -> int:
    """Return who may do what with a folder: with what is in it, nobody else may do more."""
    return folder.stat().st_mode & 0o777


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
