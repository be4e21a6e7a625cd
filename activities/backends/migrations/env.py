"""Alembic's entry: the migrations run on the connection and in the transaction of `open_store`."""

from alembic import context

from activities.backends.store_tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
