"""The definitions about the work of sslctl: messages, `todo`, plans, pauses, notices, claims, checks and forecasts."""

from __future__ import annotations

from sslctl.cli.output.schemas.words import (
    Fields,
    Schema,
    array,
    array_of,
    boolean,
    choice,
    date,
    exit_code,
    integer,
    number,
    or_null,
    ref,
    shape,
    string,
    time,
)
from sslctl.doctor import Grade
from sslctl.errors import Exit
from sslctl.fleet.enrolment import Action
from sslctl.rules.check_steps import CheckStep, StepGrade
from sslctl.rules.customer_texts import Language
from sslctl.rules.limits import LimitKind
from sslctl.rules.model import Life
from sslctl.rules.notice import NoticeKind
from sslctl.rules.reasons import Status
from sslctl.rules.schedule import Work

_NAME = string("its name, as A-labels")
_STATUS = ref("status", "its status")
_NOTICE = {
    "at": time("when it was composed"),
    "troubled": number(
        "the number of domains, and of codes that concern many, that it was about; `0` if it reported that all have recovered"
    ),
    "missed": array(number("a position", 1), "the positions, from 1, of the URLs that did not accept it"),
    "missed_since": or_null(time("since when at least one URL has accepted none; `null` if all accepted it")),
    "why": or_null(string("why they did not, for people; `null` if all accepted it")),
}
DOWNLOAD: Fields = {
    "domain": _NAME,
    "version": number("the version that was written", 1),
    "files": array(string("a path"), "the paths of the files"),
    "lines": array(
        string("a line"),
        "the lines for the configuration of a web server; empty for formats that are for no server",
    ),
}
"""The fields of a certificate that `download` wrote."""
_RECORDS = "the DNS records that cure it, as in `reason`"

SHAPES: dict[str, Schema] = {
    "counts": shape(
        "The counts of `list`",
        {
            "matching": number("the number of domains that match the filters"),
            "listed": number("the number of those that `--limit` left"),
            "managed": number("the number of all managed domains"),
            "by_status": {
                "type": "object",
                "properties": {str(status): number(f"in {status}") for status in Status},
                "description": "the number of those that match in each of the six statuses; an empty object with `--deleted`",
            },
        },
    ),
    "message": shape(
        "A message to a customer",
        {
            "customer": or_null(
                string(
                    "whose the domains are; `null` if no customer is known: then the message is about one domain"
                )
            ),
            "lang": choice(Language, "the language"),
            "subject": string("the subject"),
            "body": string("the text; its lines end with LF, and it does not repeat the subject"),
            "domains": array(string("a name"), "the names of the domains, the most urgent first"),
        },
    ),
    "left_out": shape(
        "A domain for which a customer has nothing to do",
        {
            "domain": _NAME,
            "status": _STATUS,
            "code": or_null(
                ref(
                    "code",
                    "the reason of the status, or of a warning; `null` for a domain in Success without a warning",
                )
            ),
            "owner": or_null(ref("owner", "who acts next; `null` likewise")),
            "next_step": or_null(string("what they do; `null` likewise")),
        },
    ),
    "group": shape(
        "The domains of one customer that need the same one for the same reason (`todo`); a domain is in a group for each of its reasons",
        {
            "owner": ref("owner", "who must act; `nobody` is `operator` here"),
            "code": ref("code", "the reason"),
            "customer": or_null(string("the customer; `null` if none is known")),
            "sentence": string("what is wrong with the most urgent domain"),
            "next_step": string("what to do"),
            "command": string(
                "the next command, which can be pasted: for the customer's ten most urgent domains if the customer must act, else for the most urgent one"
            ),
            "domains": array_of("task", "all domains of the group, the most urgent first"),
        },
    ),
    "task": shape(
        "A domain of such a group",
        {
            "domain": _NAME,
            "status": _STATUS,
            "warning": boolean("whether the reason is a warning, and not that of the status"),
            "sentence": string("what is wrong"),
            "deadline": or_null(
                time(
                    "when what is served expires, or when it expired; `null` if there never was a certificate, or nothing is served although one is valid"
                )
            ),
            "left_seconds": or_null(
                integer(
                    "how long until then, negative if it is over; 0 if nothing is served although a certificate is valid; `null` if there never was one"
                )
            ),
            "created_at": time("when it was added"),
            "records": array_of("record", _RECORDS),
            "link": or_null(string("the URL of the CA that a person must open; `null` if there is none")),
            "customer": or_null(string("its customer; `null` if none is known")),
            "assignee": or_null(string("who takes care of it; `null` if nobody is assigned")),
            "note": or_null(string("what people noted; `null` without a note")),
        },
    ),
    "totals": shape(
        "The totals of `todo`",
        {
            "domains": number("the number of domains that need a person"),
            "snoozed": number("the number of those left out because they are snoozed"),
            "abandoned": number("the number of those left out because they are abandoned"),
            "managed": number("the number of all managed domains"),
        },
    ),
    "would_record": shape(
        "What `add --dry-run` would record",
        {
            "domain": _NAME,
            "action": choice(
                Action,
                "what would be done; `add`: it is not managed, `change`: its other names, its text certificate, or its recorded customer, `none`: it is managed already",
            ),
            "sans": array(string("a name"), "the other names that it would have afterwards"),
            "sans_before": array(string("a name"), "the other names that it has now"),
            "customer": or_null(string("the customer that would be recorded for it; `null` if none would")),
            "error": or_null(ref("error_code", "the code of the error, for `refuse`; else `null`")),
            "message": or_null(string("why, for `refuse`; else `null`")),
        },
    ),
    "download": shape("A certificate that was written", DOWNLOAD),
    "planned": shape(
        "Work that is due",
        {
            "domain": _NAME,
            "work": choice(
                Work,
                "what is to be done; `replace`: the CA wants it replaced early",
            ),
            "why": string("the reason, for people"),
        },
    ),
    "withheld": shape(
        "The bad answers about served domains that were too many to be believed",
        {
            "code": ref("code", "the reason"),
            "domains": number("of how many domains"),
            "looked_at": number("of how many that were looked at"),
        },
    ),
    "alert": shape(
        "What the CA wants replaced early, one object per explanation",
        {
            "domains": number("the number of domains"),
            "start_at": time("when the period begins in which they are to be replaced"),
            "end_at": time("when it ends"),
            "explanation_url": or_null(
                string("the page on which the CA explains it; `null` if it names none")
            ),
        },
    ),
    "maintenance": shape(
        "A maintenance pause",
        {
            "since": time("when the pause was set"),
            "until": time("when it ends"),
            "reason": string("why"),
            "actor": string("who set it"),
        },
    ),
    "expiring": shape(
        "A certificate that expires before it can be renewed",
        {"domain": _NAME, "expires_at": time("when its certificate expires")},
    ),
    "pause": shape(
        "A pause at the CA",
        {
            "kind": choice(
                [kind for kind in LimitKind if kind is not LimitKind.URGENT],
                "what is not asked. `account`: anything, because the CA demanded it. `breaker`: anything, because the CA did not answer "
                "several times in a row. `orders`: new orders. `certificates`: new certificates for names below one registered domain. "
                "`duplicates`: orders for one exact set of names. `failures`: orders with one name. For `orders` and `certificates` "
                "renewals are still placed. In `pauses` also `renewal_info`: renewal information (ARI).",
            ),
            "key": or_null(
                string(
                    "the registered domain, the set of names as a JSON array in a string, or the name; `null` for the others"
                )
            ),
            "until": time("when the pause ends"),
            "why": string("what the CA answered, or how the request failed, for people"),
            "ca": string("the directory of the CA"),
        },
    ),
    "notice": shape("The last notice to people", _NOTICE),
    "routed_notice": shape(
        "The last notice of a route and kind",
        {
            "route": or_null(string("the owners and customers of the route; `null` without a route")),
            "kind": choice(NoticeKind, "what it is about: trouble, or the warnings of a day"),
            **_NOTICE,
        },
    ),
    "url": shape(
        "A URL of `[notify]`; more of it is never shown",
        {
            "position": number(
                "its position, from 1: first those of `notify.urls`, then those of `notify.urls_file`, or those of the route",
                1,
            ),
            "scheme": string("its scheme"),
            "delivered": boolean("whether it accepted the message"),
            "why": or_null(string("why it did not, for people; otherwise `null`")),
            "route": or_null(string("the owners and customers of its route; `null` without a route")),
        },
    ),
    "webhook": shape(
        "The webhook `notify.webhook_url`",
        {
            "delivered": boolean("whether it accepted the message"),
            "why": or_null(string("why it did not, for people; otherwise `null`")),
        },
    ),
    "claim": shape(
        "A claim",
        {
            "claim": string("its name: `domain:` and the domain, `tick`, or `keys rotate`"),
            "about": string("what it is about, for people"),
            "host": string("the host name of the process that holds it, as that process sees it"),
            "pid": integer("the process id, as that process sees it"),
            "since": or_null(
                time("when that process made its first claim; `null` for a claim of release 0.2 or earlier")
            ),
            "until": time(
                "when the work should have ended; a process that is alive keeps its claim after that"
            ),
            "boot_id": or_null(
                string("the boot of the machine; `null` for a claim of release 0.2 or earlier")
            ),
            "pid_namespace": or_null(
                string("the PID namespace of the process; `null` for a claim of release 0.2 or earlier")
            ),
            "life": choice(Life, "whether the process lives; `dead`: the claim is void"),
        },
    ),
    "broken": shape(
        "The last claim that was broken",
        {"at": time("when"), "actor": string("by whom"), "detail": string("which claim, in words")},
    ),
    "key": shape(
        "A private key that is destroyed",
        {
            "domain": string("the domain"),
            "version": number("the version of its certificate", 1),
            "superseded_at": time("since when nobody has needed it"),
        },
    ),
    "check": shape(
        "A check of `doctor`",
        {
            "check": string("what was checked; `clock` and `pauses at the CA` may occur more than once"),
            "grade": choice(Grade, "the grade"),
            "detail": string("what was found, for people"),
            "hint": or_null(string("what to do, for people; `null` if there is nothing to do")),
        },
    ),
    "diagnosis": shape(
        "What an order of a name would meet (`check`)",
        {
            "name": string("the name that was asked about"),
            "domain": or_null(
                string("the managed domain whose certificate has the name; `null` if there is none")
            ),
            "names": array(
                string("a name"),
                "the names of the certificate that would be ordered; each of them was checked",
            ),
            "managed": or_null(
                boolean("whether there is a managed domain; `null` if the state cannot be read")
            ),
            "status": or_null(
                ref("status", "the recorded status of the domain; `null` if it is not managed")
            ),
            "customer": or_null(string("its customer; `null` if none is known")),
            "code": or_null(
                ref(
                    "code",
                    "the problem that an order would meet first; `null` if an order would succeed",
                )
            ),
            "owner": or_null(ref("owner", "who must act; `null` likewise")),
            "sentence": or_null(string("what it means; `null` likewise")),
            "next_step": or_null(string("what to do; `null` likewise")),
            "records": array_of("record", "all DNS records to set before an order succeeds, as in `reason`"),
            "next_order_at": or_null(
                time(
                    "when the limits and pauses of the CA, and a maintenance pause, allow the next order; `null` if the state cannot be read"
                )
            ),
            "exit_code": exit_code(Exit, "the exit code of `check` for this name alone"),
            "steps": array_of("step", "the steps, in the order in which an order meets them"),
        },
    ),
    "step": shape(
        "A step of `check`",
        {
            "step": choice(CheckStep, "what is checked; `ca` may occur twice. More may be added"),
            "name": string("the name that was checked; for `c4`, `ports` and `ca` the domain"),
            "grade": choice(
                StepGrade,
                "the grade; `warn`: no obstacle to an order; `bad`: an order would fail or wait; `skipped`: not checked, or nothing is known",
            ),
            "found": string("what was found, for people"),
            "wanted": or_null(string("what is wanted, for people; `null` if nothing certain is")),
            "code": or_null(
                ref("code", "the reason code; `null` if there is none. Each step that is `bad` has one")
            ),
            "owner": or_null(ref("owner", "who must act; `null` without a code")),
            "records": array_of("record", _RECORDS),
            "hops": array_of("hop", "the links of the CNAME chain (`cname`) or of the requests (`port_80`)"),
        },
    ),
    "hop": shape(
        "A hop of a step",
        {
            "at": string("the name that has the CNAME, or the URL that was requested"),
            "to": or_null(string("the name or the URL that it leads to; `null` if it leads no further")),
            "address": or_null(
                string("where the request was sent; `null` for a CNAME, and without a connection")
            ),
            "status": or_null(
                integer("the status of the HTTP response; `null` for a CNAME, and without a response")
            ),
        },
    ),
    "day": shape(
        "A day of a forecast. It begins at 00:00 in Singapore; the first one is the rest of today",
        {
            "day": date("its date, `2026-11-24`"),
            "orders": number("the orders placed: `renewals` and `new`"),
            "renewals": number("the renewals"),
            "early": number("the renewals among them that are not due yet"),
            "late": number("renewals that are due and postponed to a later day"),
            "over": number("renewals beyond `max_per_day`, made because certificates would expire"),
            "new": number("the orders for new domains"),
            "waiting": number("new domains that wait for a later day"),
            "unspread": number("the renewals that this day would have without `max_per_day`"),
        },
    ),
    "schema": shape(
        "A command that has a schema",
        {
            "command": string("the command, as in `sslctl schema COMMAND`"),
            "contents": string("what it prints under `--json`, for people"),
        },
    ),
}
"""The definitions of the other objects, in the order of docs/json.md."""

ERROR: Fields = {
    "error": ref("error_code", "the code of the error"),
    "message": string("what happened, for people"),
    "hint": or_null(string("what to do, for people; `null` if nothing is known")),
    "exit_code": exit_code([code for code in Exit if code is not Exit.OK], "the exit code of the command"),
}
"""The fields beside `schema_version` if an error ended the command before it had a result."""
