"""Alembic's environment: run what is asked for on the connection that ``ledger.migrate`` brings."""

from alembic import context

from identifai_watch.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
