"""The adapter of C4: `client` sends the requests of the contract `openapi.yaml`, `shapes` checks the responses."""
