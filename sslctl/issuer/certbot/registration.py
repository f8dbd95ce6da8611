"""Jobs that register our account at the CA, or give it another key. They run in the process of a `job`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from acme import errors, jws, messages
from certbot._internal import account, cli
from certbot._internal import client as certbot_client
from certbot._internal.plugins.disco import PluginsRegistry
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwa import ES256, RS256
from josepy.jwk import JWK, JWKEC
from josepy.util import ComparableECKey


def signature_algorithm(key: JWK) -> Any:
    """Return the algorithm that an account with `key` signs with: our keys are P-256, those of an old certbot RSA."""
    return ES256 if key.typ == "EC" else RS256


def register(job: dict[str, Any]) -> dict[str, Any]:
    """Make certbot's account with the key of `job`, or with a new P-256 key: certbot's own RSA key would cost each run its loading and six signatures.

    With a key of `job`, the account that the CA has with it is used. If it has none, and our account has the previous key of
    `job`, that account gets the key.
    """
    config = cli.prepare_and_parse_args(PluginsRegistry.find_all(), job["argv"])
    if "key" in job:
        key = JWK.json_loads(job["key"])
        client = certbot_client.create_acme_client(config, key)
        registration = _find(client) or _change_key(job, config, client)
    else:
        key = JWKEC(key=ComparableECKey(ec.generate_private_key(ec.SECP256R1())))
        client, registration = certbot_client.create_acme_client(config, key), None
    if registration is None:
        _use_credentials(job, config, client)
        registration = certbot_client.perform_registration(client, config, None)
    account.AccountFileStorage(config).save(account.Account(registration, key), client)
    return {}


def register_again(job: dict[str, Any]) -> dict[str, Any]:
    """Register the key of an account that the CA does not know; if the CA has it after all, store its URL."""
    config = cli.prepare_and_parse_args(PluginsRegistry.find_all(), job["argv"])
    key = JWK.json_loads((Path(job["account"]) / "private_key.json").read_text())
    client = certbot_client.create_acme_client(config, key)
    _use_credentials(job, config, client)
    try:
        registration = certbot_client.perform_registration(client, config, None)
    except errors.ConflictError as error:
        registration = _at(error.location)
    account.AccountFileStorage(config).update_regr(account.Account(registration, key))
    return {}


def _at(url: str) -> messages.RegistrationResource:
    return messages.RegistrationResource(body=messages.Registration(), uri=url)


def _find(client: Any) -> messages.RegistrationResource | None:
    """Return the account that the CA has with the client's key, None if it has none (RFC 8555, section 7.3.1)."""
    try:
        response = client.net.post(
            client.directory["newAccount"],
            messages.Registration(only_return_existing=True),
            new_nonce_url=client.directory["newNonce"],
        )
    except messages.Error as error:
        if error.code == "accountDoesNotExist":
            return None
        raise
    return _at(response.headers["Location"])


def _change_key(job: dict[str, Any], config: Any, client: Any) -> messages.RegistrationResource | None:
    """Replace the previous key of our account by that of `client` (RFC 8555, section 7.3.5).

    Return the account, None if the CA has none with the previous key either.
    """
    if job["previous_key"] is None:
        return None
    before = JWK.json_loads(job["previous_key"])
    former = certbot_client.create_acme_client(config, before)
    registration = _find(former)
    if registration is None:
        return None
    former.net.account = registration
    url = former.directory["keyChange"]
    request = {"account": registration.uri, "oldKey": before.public_key().to_json()}
    new_key = client.net.key
    # The inner signature proves that we have the new key; it has no nonce.
    inner = jws.JWS.sign(
        json.dumps(request).encode(), key=new_key, alg=signature_algorithm(new_key), nonce=None, url=url
    )
    former.net.post(url, inner, new_nonce_url=former.directory["newNonce"])
    return registration


def _use_credentials(job: dict[str, Any], config: Any, client: Any) -> None:
    """Let certbot register with the credentials of `job`; raise the error of a CA that refuses an account if it needs them and has none."""
    if "eab_kid" in job:
        config.eab_kid, config.eab_hmac_key = job["eab_kid"], job["eab_hmac_key"]
    elif client.external_account_required():
        detail = (
            "this CA registers only accounts that have its credentials; "
            "set acme.eab_kid and acme.eab_hmac_key_file, or those of its [[acme.fallback]]"
        )
        raise messages.Error.with_code("externalAccountRequired", detail=detail)
