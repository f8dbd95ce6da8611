"""Services of the operating system: durable files, locks, no core dumps, the user of the process."""
