"""How PostgreSQL spells what is not common SQL (`sql.connection.Dialect`), and its parameters."""

from __future__ import annotations

import re
from functools import lru_cache

# Texts in quotes and casts are left as they are; `?` and `:name` are parameters.
_TOKEN = re.compile(r"'[^']*'|::|\?|:([a-z_][a-z0-9_]*)|%")


class PostgresDialect:
    """PostgreSQL's spelling. It has no hints: its planner knows the sizes of tables and chooses the indexes itself."""

    def texts(self, parameter: str) -> str:
        """See `Dialect`."""
        return (
            f'(SELECT value COLLATE "C" AS value FROM json_array_elements_text({parameter}::json)) AS listed'  # noqa: S608 - constants
        )

    def integers(self, parameter: str) -> str:
        """See `Dialect`."""
        return f"(SELECT value::bigint AS value FROM json_array_elements_text({parameter}::json)) AS listed"  # noqa: S608 - constants

    def index_hint(self, index: str) -> str:  # noqa: ARG002 - PostgreSQL has none
        """See `Dialect`."""
        return ""

    def no_index_hint(self) -> str:
        """See `Dialect`."""
        return ""

    def serves(self, certificate: str) -> str:
        """See `Dialect`."""
        # Of two conditions, one of which follows from the other, the planner expects that next to no row fulfils both.
        return f"domain.serving_id = {certificate}.id"

    def json_array(self, columns: str) -> str:
        """See `Dialect`."""
        return f"json_build_array({columns})::text"

    def days_of(self, time: str) -> str:
        """See `Dialect`."""
        # First a text: a parameter that is used as a text elsewhere has one type in the whole statement.
        return f"(extract(epoch FROM ({time}::text)::timestamptz) / 86400)"

    def for_update(self) -> str:
        """See `Dialect`."""
        return "FOR UPDATE"


@lru_cache(maxsize=1024)
def with_parameters(sql: str) -> bytes:
    """Return common SQL with its parameters as psycopg spells them: `%s` for `?`, `%(name)s` for `:name`."""
    return _TOKEN.sub(_respell, sql).encode()


def _respell(token: re.Match[str]) -> str:
    text = token.group()
    if token[1]:
        return f"%({token[1]})s"
    return "%s" if text == "?" else text.replace("%", "%%")
