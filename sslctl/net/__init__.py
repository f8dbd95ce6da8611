"""HTTP as every adapter needs it: bounded in time, bytes and attempts."""
