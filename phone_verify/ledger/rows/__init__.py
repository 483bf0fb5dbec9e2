"""The ledger over rows of an SQL database: its statements and its steps, for SQLAlchemy and for Django."""
