"""Calls of tools, and turns of conversations with agents."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

LABEL = sa.String(200)


def upgrade() -> None:
    op.create_table(
        "tool_call",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("conversation", LABEL, nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False, index=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("lease_ms", sa.BigInteger, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.UniqueConstraint("conversation", "turn", "ordinal", name="uq_tool_call_position"),
    )
    op.create_table(
        "turn",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("conversation", LABEL, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("exchange_id", LABEL, nullable=False, index=True),
        sa.Column("owner", LABEL, nullable=False),
        sa.Column("after", sa.String(64), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.UniqueConstraint("conversation", "number", name="uq_turn_number"),
    )
    op.create_index("ix_turn_owner", "turn", ["owner", "after"])
