"""A worker that serves one ledger, as a process of its own, so that it can be killed.

python -m tests.fakes.ledger_process ADDRESS NAMESPACE ORGANISATION STORE_URL
"""

import asyncio
import sys

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.backends.audit_store import StoreAudit
from activities.backends.store_sql import open_store
from tests.fakes.audit import ledger_worker


async def main(address: str, namespace: str, organisation: str, store: str) -> None:
    """Serve until killed; says `ready` once."""
    client = await Client.connect(address, namespace=namespace, data_converter=pydantic_data_converter)
    async with ledger_worker(client, StoreAudit(open_store(store)), organisation=organisation):
        print("ready", flush=True)  # noqa: T201 - the test waits for it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
