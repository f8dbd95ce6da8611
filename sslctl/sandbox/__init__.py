"""A whole CDN on one machine: Pebble, its DNS, and the reference C4 with its edge (extra `sandbox`)."""
