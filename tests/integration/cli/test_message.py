"""`message`: what is printed for which customer, in text and JSON, and what is said about domains that need nothing of theirs."""
# ruff: noqa: RUF001 - the full-width punctuation of Chinese

from __future__ import annotations

import pytest

from tests.support.cdn import Cdn
from tests.support.dns_zone import Trouble

SHOP, BLOG, OTHER, WELL = "shop.example.com", "blog.example.com", "other.example.net", "well.example.com"
APEX = "example.org"
WWW = "www.example.com"
GONE = "gone.example.com"
CDN_STEP = "The CDN must publish an address for the target."


@pytest.fixture
def fleet(cdn: Cdn) -> Cdn:
    """Two domains of acme and one without a customer that point elsewhere, and one of acme that is well."""
    for name, customer in ((SHOP, "acme"), (BLOG, "acme"), (OTHER, "")):
        cdn.add_domain(name, points_at=f"parking.{name}", customer=customer)
    cdn.add_domain(WELL, customer="acme")
    cdn.zone.add(WWW, "CNAME", f"parking.{WWW}")
    cdn.sslctl("add", SHOP, "--san", WWW)
    cdn.sslctl("add", BLOG, OTHER, WELL)
    return cdn


def test_message_has_subject_and_records_of_all_names_and_goes_to_standard_output(fleet: Cdn) -> None:
    result = fleet.sslctl("message", SHOP)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[:3] == [f"Subject: Action needed for the HTTPS certificate of {SHOP}", "", "Hello,"]
    for name in (SHOP, WWW):
        assert f"Name: {name}\nNow: “parking.{name}”\nValue: {SHOP}.cdn.test\n" in result.stdout


def test_message_is_in_chinese_if_asked(fleet: Cdn) -> None:
    result = fleet.sslctl("message", OTHER, "--lang", "ZH")
    assert result.stdout.startswith(f"Subject: {OTHER} 的 HTTPS 证书需要您处理\n\n您好！\n")
    assert f"名称：{OTHER}\n当前值：“parking.{OTHER}”\n记录值：{OTHER}.cdn.test\n" in result.stdout


def test_domains_of_a_customer_share_a_message_and_a_line_with_the_customer_separates_several(
    fleet: Cdn,
) -> None:
    result = fleet.sslctl("message", BLOG, SHOP, OTHER)
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith("----")] == [
        "-------- customer acme --------",
        f"-------- {OTHER} --------",
    ]
    assert [line for line in lines if line.startswith("Subject: ")] == [
        "Subject: Action needed for the HTTPS certificates of 2 domains",
        f"Subject: Action needed for the HTTPS certificate of {OTHER}",
    ]


def test_recorded_customer_counts_if_c4_names_none(fleet: Cdn) -> None:
    fleet.sslctl("customer", OTHER, "acme")
    found = fleet.sslctl("message", SHOP, OTHER, "--json").json["messages"]
    assert [(each["customer"], sorted(each["domains"])) for each in found] == [("acme", [OTHER, SHOP])]


def test_json_has_messages_and_the_domains_left_out(fleet: Cdn) -> None:
    fleet.add_domain("queued.example.com")
    fleet.sslctl("add", "--no-wait", "queued.example.com")
    found = fleet.sslctl("message", "queued.example.com", WELL, OTHER, "--lang", "zh", "--json").json
    (message,) = found["messages"]
    assert (message["customer"], message["lang"], message["domains"]) == (None, "zh", [OTHER])
    assert "\n\n谢谢！" in message["body"]
    assert message["subject"] not in message["body"]
    assert found["left_out"] == [
        {
            "domain": "queued.example.com",
            "status": "Pending",
            "code": "QUEUED",
            "owner": "nobody",
            "next_step": "The next tick makes the first attempt; `sslctl recheck DOMAIN` makes it at once.",
        },
        {"domain": WELL, "status": "Success", "code": None, "owner": None, "next_step": None},
    ]


def test_domain_of_others_prints_who_must_act_on_standard_error_and_ends_with_0(fleet: Cdn) -> None:
    fleet.c4.create_domain(GONE, cname_target=f"{GONE}.cdn.test", ports=(80, 443))
    fleet.zone.add(GONE, "CNAME", f"{GONE}.cdn.test")
    fleet.sslctl("add", GONE)
    result = fleet.sslctl("message", GONE, WELL)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [
        f"sslctl: {WELL} (Success): nothing for the customer to do; a valid certificate is served",
        f"sslctl: {GONE} (Failure, TARGET_MISSING): nothing for the customer to do; next (cdn): {CDN_STEP}",
        "sslctl: 0 of 2 domains are in messages; 2 need nothing of their customers",
    ]


def test_name_servers_that_fail_once_are_not_the_customers_to_repair_yet(fleet: Cdn) -> None:
    fleet.zone.spoil(WELL, Trouble.SERVFAIL)
    fleet.sslctl("recheck", WELL)
    result = fleet.sslctl("message", WELL)
    assert result.stdout == ""
    assert "nothing for the customer to do yet; next (customer): The next tick asks again." in result.stderr


@pytest.mark.parametrize(
    ("filters", "domains", "well"),
    [
        (("--customer", "acme"), [BLOG, SHOP], [WELL]),
        (("--owner", "customer"), [BLOG, OTHER, SHOP], []),
        (("--match", "*.net"), [OTHER], []),
        (("--customer", ""), [OTHER], []),
        (("--status", "Success"), [], [WELL]),
    ],
)
def test_filters_of_list_select_the_domains(
    fleet: Cdn, filters: tuple[str, ...], domains: list[str], well: list[str]
) -> None:
    found = fleet.sslctl("message", *filters, "--json").json
    assert sorted(name for each in found["messages"] for name in each["domains"]) == domains
    assert [each["domain"] for each in found["left_out"]] == well


def test_filters_without_a_match_print_what_was_asked(fleet: Cdn) -> None:
    result = fleet.sslctl("message", "--customer", "acmee")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "No domains match: --customer 'acmee'. Customers with a similar name: acme\n"


def test_several_domains_in_success_share_a_line(fleet: Cdn) -> None:
    fleet.add_domain("fine.example.com")
    fleet.sslctl("add", "fine.example.com")
    result = fleet.sslctl("message", "--status", "success")
    assert result.stderr == (
        "sslctl: 2 domains in Success: nothing for the customers to do; valid certificates are served\n"
        "sslctl: 0 of 2 domains are in messages; 2 need nothing of their customers\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "name a domain, or select domains with filters, such as --owner customer"),
        ((SHOP, "--customer", "acme"), 2, "give the names of domains or filters, not both"),
        ((SHOP, "--lang", "fr"), 2, "'fr' is not one of 'en', 'zh'"),
        (("never.example.com",), 9, "never.example.com is not managed"),
        ((WWW,), 9, f"{WWW} is another name of the certificate of {SHOP}"),
        (("not a name",), 2, "not a name"),
    ],
)
def test_wrong_arguments_are_refused(fleet: Cdn, arguments: tuple[str, ...], code: int, message: str) -> None:
    result = fleet.sslctl("message", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr


def test_list_of_a_file_selects_the_domains(fleet: Cdn) -> None:
    result = fleet.sslctl("message", "--from-file", "-", "--json", stdin=f"{OTHER}\n{BLOG}\n")
    assert {name for each in result.json["messages"] for name in each["domains"]} == {OTHER, BLOG}


def test_record_that_is_not_known_is_a_warning_to_the_operator(fleet: Cdn) -> None:
    fleet.c4.create_domain(APEX, cname_target=f"{APEX}.cdn.test", ports=(80, 443))
    fleet.zone.add(APEX, "A", "198.51.100.7")
    fleet.sslctl("add", APEX)
    result = fleet.sslctl("message", APEX)
    assert "Value: as in the instructions that you received from us" in result.stdout
    assert result.stderr == (
        f"sslctl: warning: {APEX}: a DNS record to set is not known; add it to the message. `sslctl recheck {APEX}` may find it\n"
    )


def test_message_changes_nothing(fleet: Cdn) -> None:
    before = fleet.sslctl("view", SHOP, "--json").stdout
    fleet.sslctl("message", SHOP)
    assert fleet.sslctl("view", SHOP, "--json").stdout == before
