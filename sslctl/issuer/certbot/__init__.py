"""The CA through certbot: one warm process whose forks run the orders."""
