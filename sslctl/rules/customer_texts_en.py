"""The texts for customers in English."""

from __future__ import annotations

from sslctl.rules.customer_texts import CustomerText, Phrases
from sslctl.rules.reasons import Code

TEXTS = {
    Code.CNAME_MISSING: CustomerText(
        "DNS has no record that points to our CDN, so we cannot issue or renew the certificate.",
        "Please set the DNS records as shown below.",
    ),
    Code.CNAME_ELSEWHERE: CustomerText(
        "DNS points to another destination than our CDN, so we cannot issue or renew the certificate.",
        "Please change the DNS records as shown below.",
    ),
    Code.NXDOMAIN: CustomerText(
        "The name does not exist in DNS, so we cannot issue or renew the certificate.",
        "Please create the DNS records as shown below.",
    ),
    Code.AAAA_ELSEWHERE: CustomerText(
        "DNS has an IPv6 address (AAAA record) that does not belong to our CDN. Certificate authorities prefer IPv6, so we cannot "
        "issue or renew the certificate.",
        "Please change or delete the AAAA records as shown below.",
    ),
    Code.CAA_FORBIDS: CustomerText(
        "A CAA record in DNS does not allow our certificate authority to issue the certificate.",
        "Please change the CAA records as shown below.",
    ),
    Code.DNSSEC_BOGUS: CustomerText(
        "The DNSSEC signatures in DNS are not valid. Certificate authorities therefore reject the DNS records, and we cannot "
        "issue or renew the certificate.",
        "Please ask your DNS provider to repair the signatures. If you do not use DNSSEC any more, please have your registrar "
        "remove the DS records.",
    ),
    Code.PORTS_NOT_ENABLED: CustomerText(
        "Port 80 and port 443 are not both enabled on our CDN, so we cannot issue or renew the certificate.",
        "Please enable both ports in the settings of the CDN.",
    ),
    Code.DNS_UNANSWERED: CustomerText(
        "The name servers give no usable answer, so we cannot issue or renew the certificate.",
        "Please ask your DNS provider to check and repair the name servers.",
    ),
    Code.TEXT_EXPIRES: CustomerText(
        "The certificate that you provided expires soon, and we cannot renew it for you.",
        "Please provide a new certificate with its private key in the same way as before; please never send a private key by "
        "e-mail. If you prefer a free certificate that we renew automatically, please tell us.",
    ),
    Code.DEPARTED: CustomerText(
        "DNS has not pointed to our CDN for a week or more, so we cannot renew the certificate.",
        "If you want to stay on our CDN, please set the DNS records as shown below. If you left on purpose, please tell us, and "
        "we remove the domain.",
    ),
    Code.CUTOVER_LATE: CustomerText(
        "The certificate is ready on our CDN, but DNS still points to your previous host.",
        "Please set the DNS records as shown below when you want to move to our CDN. If you do not want to move any more, please tell us, and "
        "we remove the domain.",
    ),
    Code.ADDRESS_UNANSWERED: CustomerText(
        "The name servers give no usable answer to queries for one kind of address, IPv4 or IPv6. The certificate is not "
        "affected so far.",
        "Please ask your DNS provider to check and repair the name servers.",
    ),
}

PHRASES = Phrases(
    subject="Action needed for the HTTPS certificate of {domain}",
    subject_of_many="Action needed for the HTTPS certificates of {number} domains",
    greeting="Hello,",
    intro="We need your help with the HTTPS certificate of {domain}.",
    intro_of_many="We need your help with the HTTPS certificates of {number} domains.",
    between=" ",
    readable="{readable} ({domain})",
    time="{sgt} SGT ({utc} UTC)",
    before_check="Please do this before {deadline}: that is our last automatic check before the certificate expires on {expiry}.",
    before_expiry="Please do this before {expiry}: the certificate expires then, and browsers warn your visitors from then on.",
    urgent="Please do this as soon as possible, and tell us when it is done: the certificate expires on {expiry}, before our "
    "next automatic check.",
    expired="Please do this as soon as possible: the certificate on our CDN expired on {expiry}.",
    no_certificate="Our CDN has no certificate until this is done.",
    unreached="At present visitors do not reach our CDN, so they do not see our certificate.",
    partly_unreached="At present some visitors do not reach our CDN, so they do not see our certificate.",
    type="Type: ",
    name="Name: ",
    current="Now: “{}”",
    value="Value: ",
    added_value="Value to add: ",
    removed_value="Value to remove: “{}”",
    no_value="Value: none; please delete the record",
    unknown_value="Value: as in the instructions that you received from us",
    unknown_record="DNS records: as in the instructions that you received from us",
    checks_at="We check again automatically by {at} at the latest, and every day after that; everything else then happens by itself.",
    checks_daily="We check again automatically every day; everything else then happens by itself.",
    no_answer_needed="You do not need to answer. {checks}",
    thanks="Thank you.",
)
