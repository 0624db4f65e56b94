"""The knowledge base: documents, their passages, and the index that finds them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shelves",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("next_number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shelves")),
        sa.UniqueConstraint("owner", name=op.f("uq_shelves_owner")),
    )
    op.create_table(
        "documents",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("shelf", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=800), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("media_type", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("sheets", sa.Text(), nullable=True),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("passages", sa.Integer(), nullable=False),
        sa.Column("characters", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["shelf"], ["shelves.id"], name=op.f("fk_documents_shelf"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
        sa.UniqueConstraint("shelf", "source", name=op.f("uq_documents_shelf_source")),
    )
    op.create_index(
        op.f("ix_documents_shelf_updated_at_id"), "documents", ["shelf", "updated_at", "id"], unique=False
    )
    op.create_table(
        "passages",
        sa.Column("shelf", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document_id", sa.String(length=22), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("cells", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name=op.f("fk_passages_document_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("shelf", "number", name=op.f("pk_passages")),
    )
    op.create_index(
        op.f("ix_passages_document_id_position"), "passages", ["document_id", "position"], unique=False
    )
    op.create_table(
        "segments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("shelf", sa.Integer(), nullable=False),
        sa.Column("base", sa.BigInteger(), nullable=False),
        sa.Column("span", sa.Integer(), nullable=False),
        sa.Column("built", sa.Integer(), nullable=False),
        sa.Column("live", sa.Integer(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["shelf"], ["shelves.id"], name=op.f("fk_segments_shelf"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
    )
    op.create_index(op.f("ix_segments_shelf_base"), "segments", ["shelf", "base"], unique=False)
    op.create_table(
        "postings",
        sa.Column("segment", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "term",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("segment", "term", name=op.f("pk_postings")),
    )


def downgrade() -> None:
    for table in ("postings", "segments", "passages", "documents", "shelves"):
        op.drop_table(table)
