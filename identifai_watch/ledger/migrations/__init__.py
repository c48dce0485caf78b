"""Migrations of the ledger's schema, run at start by ``ledger.migrate``."""
