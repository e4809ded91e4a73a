"""The hub's HTTP side: one table of operations, from which both the routes and openapi.json are made."""
