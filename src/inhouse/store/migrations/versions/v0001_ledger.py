"""The audit log and its head, API keys, hand-offs, and feedback."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

LABEL = sa.String(200)


def upgrade() -> None:
    _audit()
    _people()


def _audit() -> None:
    op.create_table(
        "audit",
        # in SQLite, INTEGER is the row number and needs no separate index
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("id", LABEL, nullable=False, unique=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False, index=True),
        sa.Column("user", LABEL, nullable=False, index=True),
        sa.Column("key", LABEL, nullable=False),
        sa.Column("model", LABEL, nullable=False),
        sa.Column("release", LABEL, nullable=False),
        sa.Column("arm", LABEL, nullable=False),
        sa.Column("experiment", LABEL, nullable=False),
        sa.Column("reason", LABEL, nullable=False),
        sa.Column("confidence", sa.Double, nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("completion_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("first_token_s", sa.Double, nullable=False),
        sa.Column("latency_s", sa.Double, nullable=False),
        sa.Column("cost_usd", sa.Double, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("salt", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    live = sa.text("experiment != ''")
    op.create_index("ix_audit_experiment", "audit", ["experiment"], sqlite_where=live, postgresql_where=live)
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "seq": 0, "hash": "0" * 64}])


def _people() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("expires_at", sa.String(40), nullable=False),
        sa.Column("per_minute", sa.Integer, nullable=False),
        sa.Column("created_at", sa.String(40), nullable=False),
        sa.Column("revoked_at", sa.String(40), nullable=False),
    )
    op.create_table(
        "handoff",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("exchange_id", LABEL, nullable=False, unique=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False, index=True),
        sa.Column("status", sa.String(16), nullable=False, index=True),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_table(
        "feedback",
        sa.Column("exchange_id", LABEL, primary_key=True),
        sa.Column("user", LABEL, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("thumb", sa.SmallInteger, nullable=False),
        sa.Column("resolved", sa.Boolean, nullable=True),
        sa.Column("comment", sa.Text, nullable=False),
    )
