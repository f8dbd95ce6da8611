"""Names of domains, and assignees, by their beginning, for the completion of a shell.

A shell waits for the answer while a person types. So these queries need no `Database`, and their search ends after a moment.
`domain.name` is in every released schema.
"""

from __future__ import annotations

MOST_NAMES = 200
"""The largest number of names in one answer."""

# Greater than each character of a name, which is ASCII.
_END = "\x7f"

NAMES_SQL = """
    SELECT name FROM domain
    WHERE name >= :prefix AND name < :end AND CASE WHEN deleted_at IS NULL THEN :managed ELSE :deleted END
    ORDER BY name LIMIT :most
"""
"""The names of managed domains, of deleted ones, or of both."""

ASSIGNEES_SQL = """
    SELECT DISTINCT assignee FROM domain
    WHERE deleted_at IS NULL AND assignee >= :prefix AND substr(assignee, 1, length(:prefix)) = :prefix
    LIMIT :most
"""
"""The assignees of managed domains."""


def other_names_sql(elements: str) -> str:
    """Return the query of the other names of certificates; `elements` is a table whose column `value` has those of `domain.sans`."""
    return f"""
    SELECT DISTINCT value FROM domain, {elements}
    WHERE deleted_at IS NULL AND sans <> '[]' AND value >= :prefix AND value < :end
    LIMIT :most
"""  # noqa: S608 - a constant of ours


def values_of(prefix: str, *, managed: bool, deleted: bool) -> dict[str, object]:
    """Return the values of the queries of names that begin with `prefix`."""
    return {
        "prefix": prefix,
        "end": prefix + _END,
        "managed": managed,
        "deleted": deleted,
        "most": MOST_NAMES,
    }
