"""What each agent may do: documents, layers, one pure evaluation, and the ledger of reservations."""
