"""Files that came with a request, at rest: sealed, for as long as their run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import sqlalchemy as sa

from sora.store.crypto import Keyring
from sora.store.models import AttachmentRow
from sora.store.runs import Run

TABLE = cast("sa.Table", AttachmentRow.__table__)


class Attachment(NamedTuple):
    """One file, as its run needs it: what was extracted from a document (text/plain), or an image as it came."""

    name: str
    media_type: str
    content: bytes


class AttachmentStore:
    """The files of runs as rows of TABLE, which are deleted with their run. To seal and to open them takes a processor a
    millisecond for each megabyte or two, and so does the database: both are the caller's to do beside the streams."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def sealed(self, run: Run, files: Sequence[Attachment]) -> list[dict[str, object]]:
        """The rows of a run's files, in their order; to be written once, when the run is in the database."""
        return [
            {
                "run_id": run.id,
                "position": position,
                "media_type": file.media_type,
                "name": self._keyring.seal(file.name.encode(), **_place(run.id, position, run.owner, "name")),
                "content": self._keyring.seal(file.content, **_place(run.id, position, run.owner, "content")),
            }
            for position, file in enumerate(files)
        ]

    @staticmethod
    def rows(run_id: str) -> sa.Select[Any]:
        """The query for the rows of a run's files, in their order."""
        return sa.select(TABLE).where(TABLE.c.run_id == run_id).order_by(TABLE.c.position)

    def opened(self, rows: Sequence[Any], owner: str) -> list[Attachment]:
        """The files of rows of an owner's run."""
        return [
            Attachment(
                self._keyring.open(row.name, **_place(row.run_id, row.position, owner, "name")).decode(),
                row.media_type,
                self._keyring.open(row.content, **_place(row.run_id, row.position, owner, "content")),
            )
            for row in rows
        ]


def _place(run_id: str, position: int, owner: str, column: str) -> dict[str, str]:
    return {"table": "attachments", "column": column, "row": f"{run_id}:{position}", "owner": owner}
