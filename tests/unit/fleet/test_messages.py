def test_message_of_lost_certificates_names_the_first_and_counts_the_rest() -> None:
    message = compose_trouble((), lost=[f"d{number}.test" for number in range(7)])
    assert message.title == "sslctl: C4 had lost the certificate of 7 domains"
    assert (
        "C4_LOST: C4 had no certificate any more of d0.test, d1.test, d2.test, d3.test, d4.test and 2 more;"
        in message.body
    )
    assert "`sslctl view d0.test`" in message.body
