"""What an archive holds: its files by name, links followed, and what cannot be read by reason."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping

from fine2coarse.errors import Fine2CoarseError, UsageError

UNSAFE_PATH = "unsafe path"
NOT_A_FILE = "not a regular file"
REPEATED_MEMBER = "repeated member"
BROKEN_LINK = "link that cannot be followed"
TOO_LARGE = "file too large"

MAX_FILE_BYTES = 1 << 30
"""A larger file is skipped: it is not a photograph, and would have to fit into memory."""
MAX_LINKS = 40
"""Links followed one after another before they count as a loop: as many as Linux follows."""
_MAX_TARGET_CHARS = 4096
_ADVICE = "pack the files themselves (tar --dereference, zip without -y)"


class SourceError(UsageError):
    """A source that is missing, ambiguous, cut off or not as its layout says."""


@dataclasses.dataclass(frozen=True)
class Skip:
    """Something in a source that gives no example.

    Attributes:
      name: where it stands in the source.
      reason: one of few fixed phrases, to count by.
      detail: what else there is to say.
      num_files: files that it stands for; 0 where it stands for a whole archive.
    """

    name: str
    reason: str
    detail: str = ""
    num_files: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive.

    Attributes:
      name: its path: parts joined by single slashes, no './'. Bytes that are not UTF-8 stand as
        lone surrogates; see `printable`.
      size: bytes, uncompressed.
      position: where its bytes are. In a tar, their offset in the uncompressed tar; in a zip, the
        number of the member in the directory. A link has the position of the file it leads to.
    """

    name: str
    size: int
    position: int


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """A member as its archive describes it.

    Attributes:
      name: as it is stored.
      kind: 'file', 'folder', 'hard link', 'symbolic link', or 'other' for what cannot be read.
      size: bytes, uncompressed.
      position: as in `Entry`.
      target: where a link leads to, as it is stored.
      reason: why a member of kind 'other' cannot be read.
      detail: what else there is to say of that.
    """

    name: str
    kind: str
    size: int = 0
    position: int = -1
    target: str = ""
    reason: str = ""
    detail: str = ""


def printable(name: str) -> str:
    """A name as text that any message can hold, on one line; odd bytes as escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_unsafe(name: str) -> bool:
    """Whether unpacking a member of this name could write outside of its folder."""
    path = name.replace("\\", "/")
    has_drive = path[:1].isalpha() and path[1:2] == ":"
    return path.startswith("/") or has_drive or ".." in path.split("/") or "\0" in name


def clean_name(name: str) -> str:
    """The name without './' and doubled slashes."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


class Listing:
    """Gathers an archive's members in their order, as unpacking them one by one would.

    Of members with the same name the last counts. A hard link is the file that had that name when
    the link was made; a symbolic link is what its path leads to when all is there.
    """

    def __init__(self, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        self._max_file_bytes = max_file_bytes
        self._members: dict[str, Header] = {}
        self._folders: set[str] = set()
        self._skips: list[Skip] = []
        self._num_below: collections.Counter[str] | None = None  # counted where a link needs it

    def add(self, header: Header) -> None:
        """Adds the next member."""
        name = clean_name(header.name)
        if header.kind == "folder":
            self._folders.add(name)
            return
        problem = unreadable(header, self._max_file_bytes)
        if problem is not None and problem.reason == UNSAFE_PATH:
            self._skips.append(problem)
            return
        if problem is not None:
            header = dataclasses.replace(
                header, kind="other", reason=problem.reason, detail=problem.detail
            )
        elif header.kind == "hard link":
            header = self._hard_link(header)
        before = self._members.pop(name, None)  # so that the order is that of the last ones
        if before is not None:
            detail = "the last member of this name counts, as when unpacking"
            self._skips.append(Skip(printable(name), REPEATED_MEMBER, detail))
        self._members[name] = header

    def finish(self) -> tuple[list[Entry], list[Skip]]:
        """The files in the archive's order, and members that are not files."""
        entries: list[Entry] = []
        skips = list(self._skips)
        for name, header in self._members.items():
            if header.kind == "symbolic link":
                found = self._follow(name)
            elif header.kind == "other":
                found = Skip(printable(name), header.reason, header.detail)
            else:
                found = Entry(name, header.size, header.position)
            (skips if isinstance(found, Skip) else entries).append(found)
        return entries, skips

    def _hard_link(self, header: Header) -> Header:
        """The member that the link stands for, by the link's name."""
        target = self._members.get(clean_name(header.target))
        if target is None or is_unsafe(header.target):
            detail = f"no {printable(header.target)} before it in the archive; {_ADVICE}"
            return Header(header.name, "other", reason=BROKEN_LINK, detail=detail)
        return dataclasses.replace(target, name=header.name)

    def _follow(self, name: str) -> Entry | Skip:
        """The file that a symbolic link leads to, by the link's name."""
        try:
            path = _resolve(name, self._members)
        except _NotFollowedError as error:
            return Skip(printable(name), BROKEN_LINK, f"{error}; {_ADVICE}")
        target = self._members.get(path)
        if target is not None and target.kind == "other":
            detail = f"link to {printable(path)}: {target.detail}"
            return Skip(printable(name), target.reason, detail)
        if target is not None:
            return Entry(name, target.size, target.position)
        num_files = self._num_files_below(path)
        if num_files is None:
            detail = f"no {printable(path)} in the archive; {_ADVICE}"
            return Skip(printable(name), BROKEN_LINK, detail)
        if not path or name.startswith(f"{path}/"):
            return Skip(printable(name), BROKEN_LINK, "leads to the folder it is in", 0)
        detail = f"leads to folder {printable(path)} with {num_files} files; {_ADVICE}"
        return Skip(printable(name), BROKEN_LINK, detail, num_files)

    def _num_files_below(self, folder: str) -> int | None:
        """Members below a folder; None where there is no such folder."""
        if self._num_below is None:
            self._num_below = collections.Counter()
            for name in self._members:
                self._num_below.update(_ancestors(name))
        return self._num_below.get(folder, 0 if folder in self._folders else None)


def _ancestors(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:depth]) for depth in range(len(parts))]


class _NotFollowedError(Fine2CoarseError):
    """A symbolic link that leads nowhere; the message says why."""


def _resolve(name: str, members: Mapping[str, Header]) -> str:
    """The path that a name leads to when every symbolic link in it is followed."""
    pending = name.split("/")[::-1]
    path: list[str] = []
    num_links = 0
    while pending:
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not path:
                raise _NotFollowedError("leads out of the archive")
            path.pop()
            continue
        path.append(part)
        member = members.get("/".join(path))
        if member is None or member.kind != "symbolic link":
            continue
        num_links += 1
        if num_links > MAX_LINKS:
            raise _NotFollowedError("links that lead to each other")
        if member.target.startswith("/"):
            raise _NotFollowedError(f"leads out of the archive, to {printable(member.target)}")
        if len(member.target) > _MAX_TARGET_CHARS:
            raise _NotFollowedError(f"a path of {len(member.target)} characters")
        path.pop()
        pending += member.target.split("/")[::-1]
    return "/".join(path)


def unreadable(header: Header, max_file_bytes: int = MAX_FILE_BYTES) -> Skip | None:
    """Why a member can be no file whatever the others are; None where it may be one."""
    name = printable(clean_name(header.name))
    if is_unsafe(header.name):
        return Skip(printable(header.name), UNSAFE_PATH, "would leave its folder when unpacked")
    if not name:
        return Skip("", NOT_A_FILE, "a member without a name")
    if header.kind == "other":
        return Skip(name, header.reason, header.detail)
    if header.size > max_file_bytes:
        return Skip(name, TOO_LARGE, f"{header.size} bytes; the limit is {max_file_bytes}")
    return None


def listing(
    headers: Iterable[Header], max_file_bytes: int = MAX_FILE_BYTES
) -> tuple[list[Entry], list[Skip]]:
    """The files among an archive's members, links followed, and members that are not files."""
    gathered = Listing(max_file_bytes)
    for header in headers:
        gathered.add(header)
    return gathered.finish()
