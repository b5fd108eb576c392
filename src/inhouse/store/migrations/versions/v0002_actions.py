"""What an entry of the audit log is about, and sessions of the console."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

LABEL = sa.String(200)


def upgrade() -> None:
    op.add_column("audit", sa.Column("about", LABEL, nullable=False, server_default=""))
    about = sa.text("about != ''")
    op.create_index("ix_audit_about", "audit", ["about"], sqlite_where=about, postgresql_where=about)
    op.create_table(
        "session",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("key", LABEL, nullable=False, index=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False, index=True),
        sa.Column("content", sa.Text, nullable=False),
    )
