"""C4 over its published contract, `openapi.yaml`."""
