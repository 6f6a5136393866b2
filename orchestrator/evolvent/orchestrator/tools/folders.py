"""Opens files beneath the allowed folders and nowhere else.

A path is never checked and then opened: each part is opened relative to the folder before it, and none may be a
symbolic link. So nothing that is swapped in between can lead outside.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from evolvent.events.errors import ConfigInvalid
from evolvent.orchestrator.tools.refusals import FileMissing, FileRefused

_MOST_PARTS = 32
_MOST_PART_BYTES = 255
_PSEUDO_FOLDERS = ("/proc", "/sys", "/dev")
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO must not wait for its writer.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class Found:
    """A plain file beneath an allowed folder."""

    root: Path
    parts: tuple[str, ...]
    size_bytes: int
    modified_at: float

    @property
    def relative(self) -> str:
        """Its path within the folder."""
        return "/".join(self.parts)


def usable_folders(folders: Sequence[Path], *, setting: str = "tools.allowed_folders") -> tuple[Path, ...]:
    """Return the operator's folders as absolute paths without symbolic links.

    Raises:
        ConfigInvalid: If one is no folder, or holds the machine itself.
    """
    usable = []
    for folder in folders:
        path = Path(folder).expanduser().resolve()
        if not path.is_dir():
            raise ConfigInvalid(f"The setting `{setting}` names {str(folder)!r}, which is no folder.")
        if path == Path("/") or any(path.is_relative_to(pseudo) for pseudo in _PSEUDO_FOLDERS):
            raise ConfigInvalid(f"The setting `{setting}` names {str(folder)!r}; no tool may look in there.")
        if path not in usable:
            usable.append(path)
    return tuple(usable)


def address(folders: Sequence[Path], found: Found) -> str:
    """Return the path by which a file can be asked for: relative where there is but one folder."""
    return found.relative if len(folders) == 1 else f"{found.root}/{found.relative}"


def candidates(folders: Sequence[Path], path: str | None) -> list[tuple[Path, tuple[str, ...]]]:
    """Return where a path may lie: in every folder if it is relative or None, else in the folder that it names.

    Raises:
        FileRefused: If it has a part that is not allowed, or lies in no folder.
    """
    if not folders:
        raise FileRefused("No folder is open to tools; the operator names them in `tools.allowed_folders`.")
    if path is None:
        return [(root, ()) for root in folders]
    parts = _allowed_parts(path, folders)
    if not path.startswith("/"):
        return [(root, parts) for root in folders]
    for root in sorted(folders, key=lambda one: -len(one.parts)):
        length = len(root.parts) - 1
        if parts[:length] == root.parts[1:]:
            _refuse_hidden(parts[length:], path)
            return [(root, parts[length:])]
    raise FileRefused(f"{_shown(path)} lies outside the allowed folders; name a file inside them. Nothing was read.")


@contextmanager
def opened_file(root: Path, parts: Sequence[str]) -> Iterator[tuple[int, os.stat_result]]:
    """Open a plain file beneath a folder, and close it afterwards.

    Raises:
        FileMissing: If there is none.
        FileRefused: If it is anything but a plain file, or the way to it leads over a link.
    """
    name = "/".join(parts)
    if not parts:
        raise FileRefused("This is a folder, not a file; `list_files` shows what is in it.")
    with _translated(name), _opened_folder(root, parts[:-1]) as folder:
        # Opening a device may do something, so it is looked at first; what was opened counts.
        _require_plain_file(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False), name)
        descriptor = os.open(parts[-1], _FILE_FLAGS, dir_fd=folder)
    try:
        info = os.fstat(descriptor)
        _require_plain_file(info, name)
        yield descriptor, info
    finally:
        os.close(descriptor)


def files_beneath(root: Path, parts: Sequence[str], *, most: int, most_depth: int) -> tuple[list[Found], bool]:
    """List the plain files beneath a folder, dotfiles and links left out, in the order of their paths.

    Returns:
        The files, and whether that is all of them: at most `most` entries are looked at.

    Raises:
        FileMissing: If there is no such folder.
        FileRefused: If it is no folder, or the way to it leads over a link.
    """
    found: list[Found] = []
    waiting = [tuple(parts)]
    pseudo = _pseudo_devices()
    seen, is_whole = 0, True
    while waiting:
        place = waiting.pop()
        try:
            entries, fits = _entries(root, place, most - seen)
        except (FileMissing, FileRefused):
            if place == tuple(parts):
                raise
            continue
        seen += len(entries)
        is_whole = is_whole and fits
        for name, info in entries:
            if stat.S_ISREG(info.st_mode) and info.st_dev not in pseudo:
                found.append(Found(root, (*place, name), info.st_size, info.st_mtime))
            elif stat.S_ISDIR(info.st_mode) and len(place) < most_depth:
                waiting.append((*place, name))
    return sorted(found, key=lambda one: one.parts), is_whole


def _entries(root: Path, parts: Sequence[str], most: int) -> tuple[list[tuple[str, os.stat_result]], bool]:
    entries: list[tuple[str, os.stat_result]] = []
    with _translated("/".join(parts) or "."), _opened_folder(root, parts) as folder, os.scandir(folder) as listing:
        for entry in islice(listing, most):
            if entry.name.startswith(".") or not entry.name.isprintable() or "\\" in entry.name:
                continue
            try:
                entries.append((entry.name, os.stat(entry.name, dir_fd=folder, follow_symlinks=False)))
            except FileNotFoundError:
                continue
        return entries, next(listing, None) is None


@contextmanager
def _opened_folder(root: Path, parts: Sequence[str]) -> Iterator[int]:
    descriptor = os.open(root, _FOLDER_FLAGS)
    try:
        for part in parts:
            deeper = os.open(part, _FOLDER_FLAGS, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise FileMissing(
                f"There is no {_shown(name)} in the allowed folders; `list_files` shows those there are."
            ) from None
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise FileRefused(f"The way to {_shown(name)} leads over a link or a file; name a plain file.") from None
        reason = errno.errorcode.get(error.errno or 0, "error")
        raise FileRefused(f"{_shown(name)} cannot be read ({reason}); name another file.") from None


def _require_plain_file(info: os.stat_result, name: str) -> None:
    if stat.S_ISDIR(info.st_mode):
        raise FileRefused(f"{_shown(name)} is a folder, not a file; `list_files` shows what is in it.")
    if not stat.S_ISREG(info.st_mode) or info.st_dev in _pseudo_devices():
        raise FileRefused(
            f"{_shown(name)} is no plain file (a link, a device or a pipe); name another. Nothing was read."
        )


def _pseudo_devices() -> set[int]:
    """Return the devices on which the kernel shows itself; files there look plain, and are not.

    /dev may lie on the root's own device, where there is nothing to tell them apart by.
    """
    own = Path("/").stat().st_dev
    return {folder.stat().st_dev for folder in map(Path, _PSEUDO_FOLDERS) if folder.exists()} - {own}


def _allowed_parts(path: str, folders: Sequence[Path]) -> tuple[str, ...]:
    if not path.isprintable() or "\\" in path:
        raise FileRefused(f"{_shown(path)} holds control characters or backslashes; name a file with / only.")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if len(parts) > _MOST_PARTS + max(len(root.parts) for root in folders):
        raise FileRefused(f"A path may have {_MOST_PARTS} parts at most. Nothing was read.")
    for part in parts:
        # Nothing here decodes percent signs; whoever writes them means to get past somebody who does.
        decoded = unquote(part)
        if decoded in (".", "..") or "/" in decoded or "\\" in decoded or "\0" in decoded:
            raise FileRefused(f"{_shown(path)} has a part that leads elsewhere; name a file inside. Nothing was read.")
        if len(part.encode("utf-8", "replace")) > _MOST_PART_BYTES:
            raise FileRefused(f"A part of a path may have {_MOST_PART_BYTES} bytes at most. Nothing was read.")
    if not path.startswith("/"):
        _refuse_hidden(parts, path)
    return parts


def _refuse_hidden(parts: Sequence[str], path: str) -> None:
    if any(unquote(part).startswith(".") for part in parts):
        raise FileRefused(f"{_shown(path)} is hidden (a name begins with a dot), and hidden files are not read.")


def _shown(path: str) -> str:
    return repr(path[:200].encode("utf-8", "replace").decode())
