"""The `.keras` file as a zip archive: checked as a whole before anything in it is read."""

from __future__ import annotations

import stat
import zipfile
from typing import Any, BinaryIO

from fastkeras.saving.refusal import (
    DAMAGED,
    MAX_MEMBERS,
    UNTRUSTED,
    check_expansion,
    refuse,
    size_text,
)

METADATA = "metadata.json"
CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
ASSETS = "assets"
# Before the data of each member: a header of 30 bytes and the name.
_LOCAL_HEADER = 30


def open_archive(file: BinaryIO, origin: str) -> zipfile.ZipFile:
    """Opens and checks an archive.

    Args:
        file: an open binary file.
        origin: its name, for messages.

    Raises:
        FileRefused: if it is not a zip file, is damaged, or has members that no `.keras` file has.
    """
    size = file.seek(0, 2)
    file.seek(0)
    try:
        archive = zipfile.ZipFile(file)
        check_archive(archive, size, origin)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, UnicodeError) as e:
        raise refuse(
            f"'{origin}' ({size_text(size)}) cannot be read as a zip file: {e}.",
            "a complete `.keras` file, which is a zip archive",
            DAMAGED,
        ) from e
    return archive


def check_archive(archive: zipfile.ZipFile, size: int, origin: str) -> None:
    """The guard of archives: names, kinds, places and sizes of all members.

    Raises:
        FileRefused: if a member could be written outside of its folder, is not a plain file, occurs twice,
            overlaps another one, or claims a size it cannot have.
    """
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise refuse(f"'{origin}' has {len(infos)} members.", f"at most {MAX_MEMBERS}", UNTRUSTED)
    seen: set[str] = set()
    total = stored = end = 0
    for info in sorted(infos, key=lambda i: i.header_offset):
        name = info.filename
        what = f"Member {name!r} of '{origin}'"
        _check_name(name, getattr(info, "orig_filename", name), origin)
        if name in seen:
            raise refuse(f"'{origin}' has two members named {name!r}.", "each name once", UNTRUSTED)
        seen.add(name)
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise refuse(
                f"{what} is a link or special file (mode {mode:o}).",
                "plain files and folders only",
                UNTRUSTED,
            )
        if info.flag_bits & 0x1:
            raise refuse(
                f"{what} is encrypted.", "members that anyone can read", "Save the model again, unencrypted."
            )
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise refuse(
                f"{what} is compressed by method {info.compress_type}.",
                "method 0 (none), as Keras writes, or 8 (deflate)",
                "Pack the archive again with one of these.",
            )
        if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
            raise refuse(
                f"{what} is not compressed, and yet claims {info.file_size} bytes where "
                f"{info.compress_size} are stored.",
                "equal sizes",
                UNTRUSTED,
            )
        if info.header_offset < end or info.header_offset + _LOCAL_HEADER + info.compress_size > size:
            raise refuse(
                f"{what} claims bytes {info.header_offset} to {info.header_offset + info.compress_size} of "
                f"a file of {size}, or bytes of another member.",
                "members one after the other, inside the file",
                DAMAGED,
            )
        end = info.header_offset + _LOCAL_HEADER + info.compress_size
        check_expansion(what, info.file_size, info.compress_size)
        total += info.file_size
        stored += info.compress_size
    check_expansion(f"'{origin}'", total, stored)


def _check_name(name: str, original: str, origin: str) -> None:
    parts = name.rstrip("/").split("/")
    if (
        not name
        or name != original
        or "\\" in name
        or ":" in name
        or any(ord(c) < 32 for c in name)
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise refuse(
            f"'{origin}' has a member named {original!r}, which is no path inside the archive.",
            "relative names without '..', such as 'config.json'",
            UNTRUSTED,
        )


def read_member(archive: zipfile.ZipFile, name: str, origin: str, limit: int | None = None) -> bytes:
    """Returns the content of a member.

    Raises:
        FileRefused: if there is none of that name, it is larger than `limit` bytes, or damaged.
    """
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise refuse(
            f"'{origin}' has no member '{name}'. It has: {sorted(archive.namelist())[:20]}.",
            f"a `.keras` file with {METADATA}, {CONFIG} and {WEIGHTS}",
            "If it is some other zip file, pass the right path; else " + DAMAGED[0].lower() + DAMAGED[1:],
        ) from None
    if limit is not None and info.file_size > limit:
        raise refuse(
            f"Member '{name}' of '{origin}' has {size_text(info.file_size)}.",
            f"at most {size_text(limit)}",
            UNTRUSTED,
        )
    try:
        with archive.open(info) as f:
            # Never more than the checked size, whatever the data says.
            data = f.read(info.file_size)
            if f.read(1):
                raise zipfile.BadZipFile("more data than announced")
    except Exception as e:  # zipfile and zlib raise a dozen types for damaged data
        raise refuse(
            f"Member '{name}' of '{origin}' cannot be read: {type(e).__name__}: {e}.",
            "undamaged data",
            DAMAGED,
        ) from e
    if len(data) != info.file_size:
        raise refuse(
            f"Member '{name}' of '{origin}' has {len(data)} bytes and announces {info.file_size}.",
            "equal sizes",
            DAMAGED,
        )
    return data


def asset_names(archive: zipfile.ZipFile) -> list[str]:
    """The names of the files under `assets/`."""
    return [n for n in archive.namelist() if n.startswith(ASSETS + "/") and not n.endswith("/")]


def extract_assets(archive: zipfile.ZipFile, folder: Any, origin: str) -> None:
    """Writes the members under `assets/` below `folder`, whose names `check_archive()` has found harmless."""
    import os

    for name in asset_names(archive):
        target = os.path.join(folder, *name.split("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        # "x": never through a link or over another file.
        with open(target, "xb") as f:
            f.write(read_member(archive, name, origin))


def copy_member(archive: zipfile.ZipFile, name: str, path: str, origin: str) -> None:
    """Writes a member to the new file `path`, piece by piece.

    Raises:
        FileRefused: if it is damaged.
    """
    info = archive.getinfo(name)
    left = info.file_size
    try:
        with archive.open(info) as source, open(path, "xb") as target:
            while left:
                piece = source.read(min(left, 1 << 24))
                if not piece:
                    break
                target.write(piece)
                left -= len(piece)
            if left or source.read(1):
                raise zipfile.BadZipFile("its size is not the announced one")
    except Exception as e:  # see read_member()
        raise refuse(
            f"Member '{name}' of '{origin}' cannot be read: {type(e).__name__}: {e}.",
            "undamaged data",
            DAMAGED,
        ) from e
