"""Files that came with a request, at rest: sealed, for as long as their run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sora.store.crypto import Keyring
from sora.store.models import AttachmentRow
from sora.store.runs import Run


class Attachment(NamedTuple):
    """One file, as its run needs it: what was extracted from a document (text/plain), or an image as it came."""

    name: str
    media_type: str
    content: bytes


class AttachmentStore:
    """Reads and writes the files of runs in the caller's session; none commits. They are deleted with their run."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def put(self, session: Session, run: Run, files: Sequence[Attachment]) -> None:
        """Keep the files of a run that is in the database, in their order; once for a run."""
        rows = [
            {
                "run_id": run.id,
                "position": position,
                "media_type": file.media_type,
                "name": self._keyring.seal(file.name.encode(), **_place(run.id, position, run.owner, "name")),
                "content": self._keyring.seal(file.content, **_place(run.id, position, run.owner, "content")),
            }
            for position, file in enumerate(files)
        ]
        if rows:
            session.execute(sa.insert(AttachmentRow), rows)

    def of(self, session: Session, run_id: str, owner: str) -> list[Attachment]:
        """The files of an owner's run, in their order."""
        rows = session.scalars(
            sa.select(AttachmentRow).where(AttachmentRow.run_id == run_id).order_by(AttachmentRow.position)
        )
        return [
            Attachment(
                self._keyring.open(row.name, **_place(run_id, row.position, owner, "name")).decode(),
                row.media_type,
                self._keyring.open(row.content, **_place(run_id, row.position, owner, "content")),
            )
            for row in rows
        ]

    def copy(self, session: Session, from_run: str, to_run: Run) -> None:
        """Give a run the files of another one of the same owner."""
        self.put(session, to_run, self.of(session, from_run, to_run.owner))


def _place(run_id: str, position: int, owner: str, column: str) -> dict[str, str]:
    return {"table": "attachments", "column": column, "row": f"{run_id}:{position}", "owner": owner}
