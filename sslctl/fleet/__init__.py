"""Many domains: enrolment, planning, the tick, ARI polling, spreading, notices, key pruning."""
