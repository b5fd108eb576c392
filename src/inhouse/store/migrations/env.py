"""Run by Alembic: the migrations, on the connection and in the transaction that the ledger has opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
