"""What finds the unfinished runs without a look at the finished ones."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_runs_ended_at"), "runs", ["ended_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_runs_ended_at"), table_name="runs")
