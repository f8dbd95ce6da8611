"""The definitions about archives of old history."""

from __future__ import annotations

from sslctl.cli.output.schemas.words import (
    Fields,
    Schema,
    array_of,
    boolean,
    fingerprint,
    number,
    or_null,
    shape,
    string,
    time,
)

_COUNTS: Fields = {
    "events": number("the number of events"),
    "certificates": number("the number of certificates"),
    "orders": number("the number of orders"),
}
ARCHIVED: Fields = {
    "history_archived_until": or_null(
        time(
            "events, versions and orders older than this may be in archives alone; `null` if there is no archive"
        )
    )
}
"""The field that says what is missing from a history."""
PRUNED: Fields = {
    "until": time("what is older than this was archived"),
    "folder": string("the folder of the archives"),
    "dry_run": boolean("whether this was only a dry run; then there are no `archives`"),
    **_COUNTS,
    "archives": array_of("archive", "the archives that were made, the oldest first"),
    "busy": number(
        "the number of archived certificates that the next run deletes, because another process worked on their domain"
    ),
}
"""The fields of `history prune`."""

SHAPES: dict[str, Schema] = {
    "archive": shape(
        "An archive of old history",
        {
            "number": number("its number", 1),
            "file": string("the name of the file"),
            "sha256": fingerprint("the SHA-256 of the file"),
            "bytes": number("the size of the file"),
            "older_than": time("everything in it is older"),
            "first_event": or_null(number("the id of its first event; `null` without events", 1)),
            "last_event": or_null(number("the id of its last event; `null` without events", 1)),
            **_COUNTS,
        },
    ),
}
