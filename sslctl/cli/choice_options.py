"""The options with which a person chooses key type, profile and chain of a domain's certificates."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from sslctl.errors import BadInput
from sslctl.rules.certificate_choice import (
    CONFIGURED,
    KEY_TYPES,
    CertificateChange,
    read_preferred_chain,
    read_profile,
)

_T = TypeVar("_T")


def _reading(
    read: Callable[[str], str],
) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    def callback(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
        try:
            return None if value is None else read(value)
        except BadInput as error:
            raise click.BadParameter(error.message) from error

    return callback


def choice_options(function: Callable[..., _T]) -> Callable[..., _T]:
    """Add `--key-type`, `--profile` and `--preferred-chain`. The command gets them as one `CertificateChange`, `change`."""

    @click.option(
        "--key-type",
        type=click.Choice([*KEY_TYPES, CONFIGURED]),
        help="The kind of the next keys, kept over renewals; `default` is acme.key_type.",
    )
    @click.option(
        "--profile",
        metavar="NAME",
        callback=_reading(read_profile),
        help="The CA's profile of the next certificates, such as tlsserver or shortlived; `default` is acme.profile.",
    )
    @click.option(
        "--preferred-chain",
        metavar="ISSUER",
        callback=_reading(read_preferred_chain),
        help="Prefer the chain whose last certificate this issuer signed, by its common name, if the CA offers several;"
        " `default` is acme.preferred_chain.",
    )
    @wraps(function)
    def call(
        *args: Any, key_type: str | None, profile: str | None, preferred_chain: str | None, **kwargs: Any
    ) -> _T:
        key_type = "" if key_type == CONFIGURED else key_type
        return function(*args, change=CertificateChange(key_type, profile, preferred_chain), **kwargs)

    return call
