"""Vectors of passages, for those who use embeddings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("shelves", sa.Column("vectors", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "vectors",
        sa.Column("shelf", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["shelf", "number"],
            ["passages.shelf", "passages.number"],
            name=op.f("fk_vectors_shelf"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("shelf", "number", name=op.f("pk_vectors")),
    )


def downgrade() -> None:
    op.drop_table("vectors")
    op.drop_column("shelves", "vectors")
