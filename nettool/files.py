"""
Files that a node reads while it runs, and the directory of those that are its own.

In: paths.  Out: whole contents, never more than a bound; files that were made whole or not at all.
Never: a wait for who writes into a pipe; a secret that others can read; a file in the place of one that was there.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field

from nettool.errors import Mistake, SettingError

LARGEST = 1024 * 1024
"""Bytes of a file that is read while the node waits: more than any list of keys or nodes needs."""

OTHERS_CAN_READ = 0o077
OTHERS_CAN_WRITE = 0o022


@dataclass(frozen=True, slots=True)
class FileContent:
    """What a file has, and who may change that."""

    content: bytes = field(repr=False)  # it may be a secret
    mode: int
    """Its permissions, as chmod has them."""


def read_file(path: str) -> FileContent:
    """The content of a regular file of at most `LARGEST` bytes; `OSError`, with a `strerror`, for anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL in it
        raise OSError(0, str(error)) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "it is a directory" if stat.S_ISDIR(status.st_mode) else "it is no regular file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(LARGEST + 1)
    finally:
        os.close(descriptor)
    if len(content) > LARGEST:
        raise OSError(0, f"it is larger than {LARGEST // 1024} KiB")
    return FileContent(content, stat.S_IMODE(status.st_mode))


class StateDirectory:
    """Where a node keeps what is its own.

    Invariant: a file in it is there whole or not at all, also after a crash of the machine, and only its owner can read
    it.  `SettingError`, which says what to do, wherever that cannot be had.
    """

    def __init__(self, path: str) -> None:
        if not path:
            raise _mistake("expected a directory, where the node's key is kept")
        self.path = path

    def where(self, name: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.path, name)

    def keep_once(self, name: str, content: Callable[[], bytes]) -> bool:
        """Make a file with this content if there is none of the name; whether it was made.

        Of several processes that do it at once, one makes it.
        """
        if os.path.lexists(self.where(name)):
            return False
        return self._write(name, content(), replace=False)

    def keep(self, name: str, content: bytes) -> None:
        """Have a file with this content, in the place of one that may be there."""
        self._write(name, content, replace=True)

    def read(self, name: str) -> bytes | None:
        """The content of a file; none if there is no such file."""
        read = self._read(name)
        return None if read is None else read.content

    def read_secret(self, name: str) -> bytes | None:
        """The same of a file that nobody but its owner can read: others who can are a `SettingError`."""
        read = self._read(name)
        if read is None:
            return None
        if read.mode & OTHERS_CAN_READ:
            path = self.where(name)
            raise _mistake(
                f"expected that nobody but its owner can read {path}, whose mode is {read.mode:04o}: chmod 600 {path}; "
                "or, if somebody may have read it, remove it, and a new one is made"
            )
        return read.content

    def _read(self, name: str) -> FileContent | None:
        try:
            self._check()
            return read_file(self.where(name))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _mistake(f"{self.where(name)} cannot be read: {error.strerror}") from None

    def _write(self, name: str, content: bytes, replace: bool) -> bool:
        path = self.where(name)
        try:
            self._make()
            # Made with mode 0600, whatever the umask.
            descriptor, draft = tempfile.mkstemp(prefix=f".{name}.", dir=self.path)
            try:
                with open(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(descriptor)
                if replace:
                    os.replace(draft, path)
                else:
                    os.link(draft, path)  # unlike a rename it fails if the name is taken
            except FileExistsError:
                return False
            finally:
                if os.path.lexists(draft):
                    os.unlink(draft)
            self._sync()
        except OSError as error:
            raise _mistake(f"{path} cannot be made: {error.strerror}") from None
        return True

    def _make(self) -> None:
        os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
        try:
            os.mkdir(self.path, 0o700)
        except FileExistsError:
            pass
        self._check()

    def _check(self) -> None:
        """Whoever can write in the directory can put another key in the place of the node's."""
        mode = stat.S_IMODE(os.stat(self.path).st_mode)
        if mode & OTHERS_CAN_WRITE:
            raise _mistake(
                f"expected that nobody but its owner can write in {self.path}, whose mode is {mode:04o}: "
                f"chmod go-w {self.path}"
            )

    def _sync(self) -> None:
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _mistake(text: str) -> SettingError:
    return SettingError(Mistake(("node.state-dir",), text))
