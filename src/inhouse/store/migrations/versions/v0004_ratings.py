"""What people who were asked say of answers, and which answers were drawn for that."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

LABEL = sa.String(200)


def upgrade() -> None:
    op.create_table(
        "rating",
        sa.Column("exchange_id", LABEL, primary_key=True),
        sa.Column("rater", LABEL, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False, index=True),
        sa.Column("label", sa.String(16), nullable=False),
        sa.Column("probability", sa.Double, nullable=True),
        sa.Column("comment", sa.Text, nullable=False),
    )
    op.create_table(
        "drawn",
        sa.Column("exchange_id", LABEL, primary_key=True),
        sa.Column("period", sa.String(40), nullable=False, index=True),
        sa.Column("place", sa.Double, nullable=False),
        sa.Column("probability", sa.Double, nullable=False),
        sa.Column("why", sa.String(200), nullable=False),
    )
