"""What an entry of the audit log is about, and sessions of the console; the first states of the other tables."""

import sqlalchemy as sa
from alembic import op

from inhouse.store.actions import UPGRADED, record, states
from inhouse.store.chain import head_of
from inhouse.store.tables import FEEDBACK, HANDOFFS, KEYS

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
    _states()


def _states() -> None:
    """Records the rows that there are. Those of an exchange are an entry each, so that a redaction can erase it."""
    connection = op.get_bind()
    for table, about in ((KEYS, None), (HANDOFFS, HANDOFFS.c.exchange_id), (FEEDBACK, FEEDBACK.c.exchange_id)):
        names = [None] if about is None else connection.execute(sa.select(about).distinct()).scalars().all()
        for name in names:
            changed = states(connection, table, *(() if about is None else (about == name,)))
            if changed:
                record(connection, head_of(connection), UPGRADED, name or "", changed=changed)
