"""sslctl: TLS certificates for a CDN's customers, issued by certbot and installed on the edge through C4."""

__version__ = "0.2.0"
