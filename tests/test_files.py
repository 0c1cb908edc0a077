"""Files that a node reads, and the directory of those that are its own."""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from nettool.errors import SettingError
from nettool.files import LARGEST, FileContent, StateDirectory, read_file

NOBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    return StateDirectory(str(tmp_path / "a" / "state"))


def test_a_file_is_read_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"\x00\xff\n")
    path.chmod(0o640)
    assert read_file(str(path)) == FileContent(b"\x00\xff\n", 0o640)


def test_a_content_does_not_show_in_a_repr() -> None:
    assert "secret" not in repr(FileContent(b"secret", 0o600))


@pytest.mark.parametrize("size", [LARGEST, LARGEST + 1])
def test_a_file_is_read_up_to_a_bound(size: int, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(size)
    if size <= LARGEST:
        assert len(read_file(str(path)).content) == size
    else:
        with pytest.raises(OSError, match="larger than 1024 KiB"):
            read_file(str(path))


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    "make, said",
    [
        (Path.mkdir, "it is a directory"),
        (_pipe, "it is no regular file"),
        (_loop, os.strerror(errno.ELOOP)),
    ],
)
def test_what_is_no_file_is_refused_without_a_wait(make: object, said: str, tmp_path: Path) -> None:
    make(tmp_path / "x")  # type: ignore[operator]
    with pytest.raises(OSError) as caught:
        read_file(str(tmp_path / "x"))
    assert caught.value.strerror == said


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        with pytest.raises(OSError):
            read_file(str(tmp_path))
    assert os.listdir("/proc/self/fd") == before


def test_a_path_that_cannot_be_one_is_refused_like_any_other() -> None:
    with pytest.raises(OSError) as caught:
        read_file("a\0b")
    assert "null" in str(caught.value.strerror)


def test_what_is_kept_is_for_its_owner_alone_whatever_the_umask(directory: StateDirectory) -> None:
    before = os.umask(0)
    try:
        assert directory.keep_once("key", lambda: b"secret")
        directory.keep("certificate", b"public")
    finally:
        os.umask(before)
    path = Path(directory.path)
    assert mode(path) == 0o700
    assert {file.name: mode(file) for file in path.iterdir()} == {"key": 0o600, "certificate": 0o600}
    assert directory.read_secret("key") == b"secret"
    assert directory.read("certificate") == b"public"


def test_what_was_kept_once_stays(directory: StateDirectory) -> None:
    assert directory.keep_once("key", lambda: b"first")
    assert not directory.keep_once("key", lambda: pytest.fail("it is not even made"))
    assert directory.read("key") == b"first"


def test_a_link_that_leads_nowhere_counts_as_a_file_that_is_there(directory: StateDirectory) -> None:
    directory.keep("other", b"")
    Path(directory.where("key")).symlink_to("nowhere")
    assert not directory.keep_once("key", lambda: b"new")
    assert not Path(directory.where("nowhere")).exists()


def test_of_many_that_make_a_file_at_once_one_makes_it(directory: StateDirectory) -> None:
    barrier = threading.Barrier(8)
    made: list[int] = []

    def make(number: int) -> None:
        def content() -> bytes:
            barrier.wait()  # all of them have seen that there is none
            return b"%d" % number * 1000

        if directory.keep_once("key", content):
            made.append(number)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [maker] = made
    assert directory.read("key") == b"%d" % maker * 1000
    assert os.listdir(directory.path) == ["key"]


def test_what_is_kept_again_is_never_half_there(directory: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.keep("certificate", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SettingError, match="certificate cannot be made: No space left on device"):
        directory.keep("certificate", b"new")
    with pytest.raises(SettingError, match="key cannot be made: No space left on device"):
        directory.keep_once("key", lambda: b"new")
    assert directory.read("certificate") == b"old"
    assert os.listdir(directory.path) == ["certificate"]


def test_file_and_directory_are_on_the_disk_before_it_counts(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    monkeypatch.setattr(os, "fsync", note)
    directory.keep_once("key", lambda: b"")
    assert synced == ["file", "directory"]


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o610, 0o660, 0o644])
def test_a_secret_that_others_can_read_or_change_is_refused(bits: int, directory: StateDirectory) -> None:
    directory.keep_once("key", lambda: b"secret")
    path = Path(directory.where("key"))
    path.chmod(bits)
    with pytest.raises(SettingError, match=f"whose mode is {bits:04o}: chmod 600 {path}"):
        directory.read_secret("key")
    assert directory.read("key") == b"secret"


@pytest.mark.parametrize("bits", [0o770, 0o707, 0o1777])
def test_a_directory_in_which_others_can_write_is_refused(bits: int, directory: StateDirectory) -> None:
    directory.keep_once("key", lambda: b"secret")
    Path(directory.path).chmod(bits)
    said = f"nobody but its owner can write in {directory.path}, whose mode is {bits:04o}: chmod go-w"
    for call in (
        lambda: directory.read("key"),
        lambda: directory.read_secret("key"),
        lambda: directory.keep_once("other", lambda: b""),
        lambda: directory.keep("other", b""),
    ):
        with pytest.raises(SettingError, match=said):
            call()
    Path(directory.path).chmod(0o755)  # as systemd makes it
    assert directory.read_secret("key") == b"secret"


def test_reading_makes_nothing(directory: StateDirectory) -> None:
    assert directory.read("key") is None
    assert directory.read_secret("key") is None
    assert not Path(directory.path).exists()


def test_a_directory_that_is_none_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    directory = StateDirectory(str(tmp_path / "file"))
    with pytest.raises(SettingError, match=r"node\.state-dir: .*/file/key cannot be read: Not a directory"):
        directory.read("key")
    with pytest.raises(SettingError, match=r"node\.state-dir: .*/file/key cannot be made: Not a directory"):
        directory.keep_once("key", lambda: b"")


def test_without_a_directory_nothing_is_kept() -> None:
    with pytest.raises(SettingError, match=r"node\.state-dir: expected a directory"):
        StateDirectory("")


@pytest.fixture
def as_somebody() -> Iterator[Path]:
    """A directory of a user who is not root: root can read and write everything."""
    with TemporaryDirectory() as path:
        root = os.geteuid() == 0
        if root:
            os.chown(path, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield Path(path)
        finally:
            if root:
                os.seteuid(0)


def test_what_cannot_be_read_or_made_is_told(as_somebody: Path) -> None:
    directory = StateDirectory(str(as_somebody / "state"))
    directory.keep_once("key", lambda: b"secret")
    Path(directory.where("key")).chmod(0)
    with pytest.raises(SettingError, match="key cannot be read: Permission denied"):
        directory.read_secret("key")
    Path(directory.path).chmod(0o500)
    with pytest.raises(SettingError, match="other cannot be made: Permission denied"):
        directory.keep_once("other", lambda: b"")
