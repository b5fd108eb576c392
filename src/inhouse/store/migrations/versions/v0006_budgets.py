"""Budgets, and what is held of them for requests that are being answered."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

LABEL = sa.String(200)
UNITS = ("nano_usd", "tokens", "requests")


def upgrade() -> None:
    op.create_table(
        "budget",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("per", sa.String(16), nullable=False),
        sa.Column("subject", LABEL, nullable=False),
        sa.Column("period", sa.String(8), nullable=False),
        sa.Column("start_ms", sa.BigInteger, nullable=False, index=True),
        *(sa.Column(f"{kind}_{unit}", sa.BigInteger, nullable=False) for kind in ("spent", "held") for unit in UNITS),
        sa.Column("alerted", sa.SmallInteger, nullable=False),
    )
    op.create_table(
        "reservation",
        sa.Column("exchange_id", LABEL, primary_key=True),
        sa.Column("budget_id", sa.String(64), primary_key=True),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        *(sa.Column(unit, sa.BigInteger, nullable=False) for unit in UNITS),
        sqlite_with_rowid=False,
    )
