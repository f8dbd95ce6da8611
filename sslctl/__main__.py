"""`python -m sslctl`."""

from sslctl.cli.main import main

main()
