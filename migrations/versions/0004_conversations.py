"""Conversations with their messages, and the files that come with a request."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("title", sa.LargeBinary(), nullable=True),
        sa.Column("context_from", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=22), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
        sa.UniqueConstraint("owner", "name", name=op.f("uq_conversations_owner_name")),
    )
    with op.batch_alter_table("conversations", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_conversations_owner_updated_at_id"), ["owner", "updated_at", "id"], unique=False
        )

    op.create_table(
        "messages",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("conversation_id", sa.String(length=22), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("meta", sa.LargeBinary(), nullable=True),
        sa.Column("run_id", sa.String(length=22), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_messages_conversation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sa.UniqueConstraint("conversation_id", "number", name=op.f("uq_messages_conversation_id_number")),
    )
    op.create_table(
        "attachments",
        sa.Column("run_id", sa.String(length=22), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("media_type", sa.String(length=255), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_attachments_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "position", name=op.f("pk_attachments")),
    )
    # Added one by one: a batch would copy SQLite's table, and the journal refers to it.
    op.add_column("runs", sa.Column("conversation_id", sa.String(length=22), nullable=True))
    op.add_column("runs", sa.Column("turn", sa.Integer(), nullable=True))
    op.add_column("runs", sa.Column("superseded", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(op.f("ix_runs_conversation_id_turn"), "runs", ["conversation_id", "turn"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_runs_conversation_id_turn"), table_name="runs")
    for column in ("superseded", "turn", "conversation_id"):
        op.drop_column("runs", column)

    op.drop_table("attachments")
    op.drop_table("messages")
    op.drop_table("conversations")
