"""A whole CDN on one machine: Pebble and its DNS server, and the reference C4 with its edge (extra `sandbox`)."""
