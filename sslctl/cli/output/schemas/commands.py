"""The output of each command with `--json`: its fields, by the path of the command."""

from __future__ import annotations

from typing import NamedTuple

from sslctl.cli.output.exports import Format
from sslctl.cli.output.schemas import imports
from sslctl.cli.output.schemas.archives import ARCHIVED, PRUNED
from sslctl.cli.output.schemas.operations import DOWNLOAD
from sslctl.cli.output.schemas.words import (
    Fields,
    array,
    array_of,
    boolean,
    choice,
    date,
    number,
    or_null,
    ref,
    shape,
    string,
    time,
)
from sslctl.fleet.inventory import Group
from sslctl.rules.reasons import Status
from sslctl.rules.revocation import RevocationReason
from sslctl.rules.stateless_answer import SERVERS


class Result(NamedTuple):
    """One of the results of a command.

    `name` is its definition in the schema, `when` which options lead to it (empty for the usual one), and `fields` are those
    beside `schema_version`.
    """

    name: str
    when: str
    fields: Fields


class Output(NamedTuple):
    """The output of a command: what it contains, in words, and its results, the usual one first."""

    contents: str
    results: tuple[Result, ...]


def _output(contents: str, fields: Fields, *others: Result) -> Output:
    return Output(contents, (Result("result", "", fields), *others))


_ANSWER: Fields = {
    "thumbprint": string("the thumbprint of the account key, in base64url"),
    "server": or_null(choice(SERVERS, "the server that the lines are for; `null` without `--for`")),
    "lines": array(string("a line"), "the lines for the configuration of the server; empty without `--for`"),
}
_AT: Fields = {"at": time("the time for which the output holds")}
_MAINTENANCE: Fields = {
    "maintenance": or_null(ref("maintenance", "the maintenance pause in force; `null` if there is none"))
}
_CA_PAUSES: Fields = {"ca_pauses": array_of("pause", "the pauses at the CA that last now, the longest first")}
_NOTICES: Fields = {
    "notice": or_null(
        ref("notice", "the result of the last notice to people without a route; `null` if there was none")
    ),
    "notices": array_of("routed_notice", "the results of the last notices of each route and kind"),
}
_EXPORT: Fields = {
    "file": string("the path of the file"),
    "format": choice(Format, "its format"),
    "rows": number("how many domains or events it has"),
    "left_out": number(
        "how many domains are not in it, because a calendar shows only those with a certificate"
    ),
    "bytes": number("its size"),
}
_KEY_FILE: Fields = {"key_file": string("the path of the key file")}
_HELD: Fields = {
    "held_renewals": number(
        "the number of renewals that are due and postponed to tomorrow by `renewal.max_per_day`"
    )
}
_DRY_RUN: Fields = {"dry_run": {"type": "boolean", "const": True, "description": "`true`: nothing was done"}}
_CHANGED: Fields = {"domains": array_of("changed_domain", "the domains, as they are afterwards")}
_BACKUP: Fields = {
    "file": string("the path of the backup"),
    **_KEY_FILE,
    "domains": number("the number of domains in the backup, with deleted ones"),
    "certificates": number("the number of certificate versions in it"),
    "bytes": number("its size"),
}
_CLOCK: Fields = {
    "clock_trouble": or_null(
        string(
            "that the clock of this machine is 5 minutes or more from that of the database server; `null` if it is not"
        )
    )
}
_SKIPPED = Result(
    "skipped",
    "if another tick runs",
    {
        **_AT,
        "skipped": string("why only some passes were done, or nothing: which other tick runs"),
        **_CLOCK,
        "domains": array_of(
            "changed_domain", "the domains that it worked on beside the other tick, mostly none"
        ),
    },
)
_TICK: Fields = {
    **_AT,
    "ca_alerts": array_of("alert", "what the CA newly wants replaced early; reported once"),
    **_CA_PAUSES,
    **_HELD,
    "managed": shape(
        "the number of managed domains in each status",
        {str(status): number(f"in {status}") for status in Status},
    ),
    **_NOTICES,
    "pinged": or_null(boolean("whether `notify.ping_url` accepted the ping; `null` if none was sent")),
    "other_ca_troubles": array(
        string(
            "another CA that issued in the last 24 hours in place of the first one, and how many certificates"
        ),
        "the other CAs that were used",
    ),
    "edge_troubles": array(
        string("the edge and its trouble"),
        "the edges in `verify.edges` that do not answer, or serve other certificates than C4 has, in words",
    ),
    "webhook_error": or_null(
        string("why messages of `notify.webhook_url` were not accepted; `null` if none failed")
    ),
    "skipped": {"type": "null", "description": "`null`: the tick ran"},
    "lost_on_c4": number("the number of domains whose certificates C4 had lost"),
    "new_warnings": {
        "type": "object",
        "propertyNames": ref("code"),
        "additionalProperties": number("domains"),
        "description": "the number of domains with a new warning that the looks found, by code",
    },
    **_CLOCK,
    "look_trouble": or_null(string("why the daily look at C4 was not finished; `null` if it was")),
    **_MAINTENANCE,
    "withheld": array_of(
        "withheld", "the bad answers about served domains that were too many to be believed"
    ),
    "inventory": shape(
        "what is new in C4's list of domains, which is compared once a day; zero and empty if it was not compared in this tick",
        {
            "unmanaged": number("the number of domains in C4 that nobody manages"),
            "new": number("how many of them are new"),
            "first": array(string("a name"), "the first of the new ones by name, five at most"),
            "trouble": or_null(string("why the last comparison failed; `null` if it did not")),
        },
    ),
    "customers_withheld": number(
        "the number of domains for which C4 names another customer than before, if they were too many to be believed; otherwise 0"
    ),
    "domains": array_of("changed_domain", "the domains that were due"),
}
_SYNC_NUMBERS: Fields = {
    "listed": number("the number of domains in C4's list"),
    "managed": number("the number of domains that are managed here"),
    "numbers": shape(
        "the number of domains in each group of differences",
        {group.value: number(f"in the group `{group}`") for group in Group},
    ),
    "left_out": number(
        "the number of domains that nobody manages, and that `--match` and `--customer` left out"
    ),
    "trouble": or_null(
        string("why C4 was not asked about each managed domain that its list lacks; `null` if it was")
    ),
}
_FORECAST: Fields = {
    **_AT,
    "fits": boolean("whether each renewal is made by the day it is due, within `max_per_day`"),
    "breaks_on": or_null(
        date("the first day on which certificates would expire within `max_per_day`; `null` if there is none")
    ),
    "verdict": string("the same, for people"),
    "max_per_day": or_null(
        number("`renewal.max_per_day`, or the value of `--max-per-day`; `null` for no limit")
    ),
    "enough": or_null(number("the lowest `max_per_day` that is enough; `null` if the current one is")),
    "new_per_day": or_null(
        number("the number of new domains a day that the CA's limits allow; `null` for no limit")
    ),
    "certificates": number("the number of certificates of source `c4` to renew"),
    "queued": number("the number of domains that wait for their first certificate, without those of `--add`"),
    "failing": number(
        "the number of domains that fail and are not counted: they have no certificate, or one whose renewal is due"
    ),
    "days": array_of("day", "the days, the first one is today"),
}
_VERIFIED: Fields = {
    "whole": boolean("whether every event is as it was written, and the head of `--head` is among them"),
    "events": number("the number of intact events, from the first on"),
    "head": or_null(string("the last of these, `ID:MAC`; `null` if there is none")),
    "begun_at": or_null(time("since when events have been chained; `null` if none is")),
    "inherited": number("the number of events that existed at that time"),
    "broken": or_null(string("what is not as it was written, for people; `null` if everything is")),
    "archived": number("the number of intact events in the archives of `--archive`, which precede these"),
}

COMMANDS: dict[str, Output] = {
    "acme rotate": _output(
        "What the edges must answer to challenges with the next, or with `--switch` the new key.", _ANSWER
    ),
    "acme thumbprint": _output("What the edges must answer to challenges.", _ANSWER),
    "add": _output(
        "The domains that were added or changed.",
        _CHANGED,
        Result(
            "dry_run",
            "with `--dry-run`",
            {**_DRY_RUN, "would_record": array_of("would_record", "what would be recorded")},
        ),
    ),
    "adopt": _output("The domains whose certificate was kept.", _CHANGED),
    "assign": _output("The domains and who takes care of them.", _CHANGED),
    "audit list": _output(
        "The history.", {**ARCHIVED, "events": array_of("listed_event", "the events, the oldest first")}
    ),
    "audit verify": _output("Whether the history is as it was written.", _VERIFIED),
    "backup": _output("What the backup contains.", _BACKUP),
    "check": _output(
        "What an order of each name would meet now.",
        {**_AT, "diagnoses": array_of("diagnosis", "one for each name, in the order of the names")},
    ),
    "claims": _output(
        "Which process works on what.",
        {
            "last_broken": or_null(ref("broken", "the last claim that was broken; `null` if there was none")),
            "claims": array_of("claim", "the claims, by name"),
        },
    ),
    "claims break": _output(
        "The claim that was broken.", {"claim": ref("claim", "the claim, as it was before")}
    ),
    "customer": _output("The domains and whose they are.", _CHANGED),
    "daemon-tick": _output(
        "What a tick did.",
        _TICK,
        _SKIPPED,
        Result(
            "dry_run",
            "with `--dry-run`",
            {**_AT, **_HELD, **_MAINTENANCE, "planned": array_of("planned", "the work that is due")},
        ),
    ),
    "delete": _output(
        "The domains that were deleted.",
        {"domains": array_of("deleted_domain", "the domains, and what became of their certificates")},
    ),
    "doctor": _output("The checks of the installation.", {**_AT, "checks": array_of("check", "the checks")}),
    "download": _output(
        "The certificate that was written.",
        DOWNLOAD,
        Result(
            "list",
            "with `--from-file`",
            {"downloads": array_of("download", "one for each domain that was written")},
        ),
    ),
    "export history": _output("What the file contains.", _EXPORT),
    "export inventory": _output("What the file contains.", _EXPORT),
    "forecast": _output("How many orders the coming days bring.", _FORECAST),
    "history list": _output(
        "The archives of old history.", {"archives": array_of("archive", "the archives, the oldest first")}
    ),
    "history prune": _output("What was moved into archives.", PRUNED),
    "import certbot": _output(
        "The lineages of certbot that were taken over.",
        imports.LINEAGES,
        Result("dry_run", "with `--dry-run`", {**_DRY_RUN, **imports.LINEAGES}),
    ),
    "import csv": _output(
        "The domains of a CSV file that were recorded.",
        imports.DOMAINS,
        Result("dry_run", "with `--dry-run`", {**_DRY_RUN, **imports.DOMAINS}),
    ),
    "init": _output(
        "Where the state is.",
        {
            "created": boolean("whether a new state was created, or `false` if there was one"),
            "database": string("the path of the database"),
            **_KEY_FILE,
        },
    ),
    "keys prune": _output(
        "The private keys that were destroyed.",
        {
            "dry_run": boolean("whether nothing was changed"),
            "keys": array_of("key", "the private keys that were destroyed, or would be with `dry_run`"),
            "busy": number(
                "the number of domains that were skipped because another sslctl process works on them"
            ),
        },
    ),
    "keys rotate": _output(
        "How many values were re-encrypted.",
        {
            **_KEY_FILE,
            "rewrapped": number("the number of values that were re-encrypted"),
            "went_on": boolean("whether the file held a new key already"),
            "left": number(
                "the number of old keys that stay in a key file that sslctl may not write; remove these by hand"
            ),
        },
    ),
    "list": _output(
        "The domains that match.",
        {
            **_CA_PAUSES,
            **_MAINTENANCE,
            **_NOTICES,
            "domains": array_of("domain", "the domains that match, as many as `--limit` allows"),
            "counts": ref("counts", "how many domains match"),
        },
    ),
    "message": _output(
        "What to write to customers.",
        {
            "messages": array_of("message", "the messages, the most urgent first"),
            "left_out": array_of("left_out", "the domains for which a customer has nothing to do"),
        },
    ),
    "note": _output("The domains and their notes.", _CHANGED),
    "notify": _output(
        "Which URLs accepted the test message.",
        {
            "urls": array_of("url", "the URLs of `[notify]` and of its routes, in order"),
            "webhook": or_null(ref("webhook", "the webhook; `null` if none is set")),
        },
    ),
    "pause": _output(
        "The maintenance pause that was set.",
        {
            "maintenance": ref("maintenance", "the pause that was set"),
            "replaced": or_null(ref("maintenance", "the maintenance pause before; `null` if there was none")),
            "expiring": array_of("expiring", "what expires before it can be renewed"),
        },
    ),
    "pauses": _output(
        "The pauses that last now.",
        {**_MAINTENANCE, "pauses": array_of("pause", "the pauses at the CA, the longest first")},
    ),
    "pauses lift": _output(
        "The pauses that were lifted.", {"pauses": array_of("pause", "those that were lifted")}
    ),
    "recheck": _output(
        "The domains that were checked.",
        _CHANGED,
        Result(
            "dry_run",
            "with `--dry-run`",
            {**_DRY_RUN, "would_recheck": array_of("domain", "the domains that would be checked")},
        ),
    ),
    "report": _output(
        "What the report contains.",
        {
            "file": string("the path of the report"),
            "domains": number("the number of managed domains"),
            "unwell": number("how many of them are not well, or have a warning"),
            "bytes": number("its size"),
        },
    ),
    "restore": _output(
        "What the backup contained.",
        {
            **_BACKUP,
            "keys_missing": array(
                string("a name"),
                "the domains for which C4 has a certificate whose key is not in the backup",
            ),
        },
    ),
    "resume": _output(
        "The maintenance pause that was ended.",
        {"maintenance": or_null(ref("maintenance", "the pause that was ended; `null` if there was none"))},
    ),
    "revoke": _output(
        "What became of the certificates that were to be revoked.",
        {
            "reason": choice(RevocationReason, "the reason that the CA is given"),
            "certificates": array_of("revocation", "the certificates, those of the named domain first"),
        },
    ),
    "schema": _output(
        "The commands that have a schema; with COMMAND the output is the schema itself.",
        {"commands": array_of("schema", "the commands, by name")},
    ),
    "set": _output("The domains whose certificates were chosen.", _CHANGED),
    "snooze": _output("The domains that are left out of the messages to people.", _CHANGED),
    "state migrate": _output(
        "What was moved.",
        {
            "from": string("the database where the state was"),
            "to": string("the database where it is now"),
            "domains": number("the number of domains in it, with deleted ones"),
            "certificates": number("the number of certificate versions in it"),
            "rows": number("the number of rows of all tables; each was compared"),
            "written": number("how many of them this run wrote; an interrupted one wrote the others"),
            **_VERIFIED,
        },
        Result(
            "undone",
            "with `--undo`",
            {"undone": boolean("`true`"), "database": string("where the state is again")},
        ),
    ),
    "sync": _output(
        "How C4's list of domains and the state differ.",
        {
            **_AT,
            **_SYNC_NUMBERS,
            "differences": array_of("difference", "the domains that differ, at most 100,000 of each group"),
        },
        Result(
            "added",
            "with `--add-missing`",
            {
                **_SYNC_NUMBERS,
                "domains": array_of("changed_domain", "the domains that were added, or refused"),
            },
        ),
        Result(
            "dry_run",
            "with `--add-missing` and `--dry-run`",
            {**_DRY_RUN, "would_record": array_of("would_record", "the domains that would be added")},
        ),
    ),
    "todo": _output(
        "What needs a person.",
        {
            "totals": ref("totals", "how many domains need a person, and how many were left out"),
            "groups": array_of("group", "the reasons why people are needed, the most urgent first"),
        },
    ),
    "view": _output(
        "One domain.",
        {"domain": ref("viewed_domain", "the domain, with its certificates and its history"), **_MAINTENANCE},
    ),
}
"""The output of every command that has `--json`, by its path without `sslctl`, in the order of the alphabet."""
