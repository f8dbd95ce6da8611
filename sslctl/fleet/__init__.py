"""Many domains: taking them in, planning a tick and running it, spreading renewals, telling people."""
