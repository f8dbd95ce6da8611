"""What the operating system does for sslctl: files that outlive a power cut, locks, no core dumps."""
