"""A ZIP file from a stranger, unpacked no further than the limits allow."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

from sora.errors import UnreadableFile
from sora.knowledge.gathered import Limits

_CHUNK = 65_536
_ENCRYPTED = 0x1
_SMALL = 16 * 2**20  # unpacked bytes that no ratio makes a bomb


class Archive:
    """Reads members in chunks and counts the bytes that come out, over all members: what the headers say is not asked.

    Raises UnreadableFile for too many members, too many bytes, too many for the size of the file, and encrypted members.
    """

    def __init__(self, content: bytes, limits: Limits) -> None:
        self.limits = limits
        self._zip = zipfile.ZipFile(io.BytesIO(content))
        self._most = min(limits.unpacked, max(_SMALL, limits.ratio * len(content)))
        self._unpacked = 0
        members = self._zip.infolist()
        if len(members) > limits.members:
            raise UnreadableFile("file_unpacked")
        if any(member.flag_bits & _ENCRYPTED for member in members):
            raise UnreadableFile("file_encrypted")
        self.names = [member.filename for member in members]

    def chunks(self, name: str) -> Iterator[bytes]:
        """A member's bytes, piece by piece; nothing for one that is not there."""
        if name not in self.names:
            return
        with self._zip.open(name) as member:
            while chunk := member.read(_CHUNK):
                self._unpacked += len(chunk)
                if self._unpacked > self._most:
                    raise UnreadableFile("file_unpacked")
                yield chunk
