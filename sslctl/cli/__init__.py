"""The command line of sslctl: one file a command."""

import gc

# Starting creates objects by the hundred thousand, and listing a fleet millions, without reference cycles. Collecting after every 700
# objects, Python's default, takes a tenth of the time. It is set here, before any other module is imported.
gc.set_threshold(100_000)
