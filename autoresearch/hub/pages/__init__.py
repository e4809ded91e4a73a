"""The hub's web pages: what people see of it. They only read, need no key, and run without JavaScript."""
