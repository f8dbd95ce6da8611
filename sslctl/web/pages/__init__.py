"""The pages, one module each, with a function for each address."""
