"""The adapter for an edge that reads PEM files: `client` is the control plane, `files` the layout, `reloading` the command."""
