"""How SQLite spells what is not common SQL (`sql.connection.Dialect`)."""

from __future__ import annotations


class SqliteDialect:
    """SQLite's spelling. It needs SQLite 3.39 for `IS DISTINCT FROM`, which is common SQL."""

    def texts(self, parameter: str) -> str:
        """See `Dialect`."""
        return f"json_each({parameter})"

    def integers(self, parameter: str) -> str:
        """See `Dialect`."""
        return f"json_each({parameter})"

    def index_hint(self, index: str) -> str:
        """See `Dialect`."""
        return f"INDEXED BY {index}"

    def no_index_hint(self) -> str:
        """See `Dialect`."""
        return "NOT INDEXED"

    def serves(self, certificate: str) -> str:
        """See `Dialect`."""
        # It follows that the domain is that of the certificate. By its number the row is found at once.
        return f"domain.id = {certificate}.domain_id AND domain.serving_id = {certificate}.id"

    def json_array(self, columns: str) -> str:
        """See `Dialect`."""
        return f"json_array({columns})"

    def days_of(self, time: str) -> str:
        """See `Dialect`."""
        return f"julianday({time})"

    def for_update(self) -> str:
        """See `Dialect`."""
        # There is one transaction at a time.
        return ""
