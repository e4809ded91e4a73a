"""The agent's side of a hub: who we are there, calls, what waits to be sent, and what an attempt shares.

It trusts nothing that a hub answers: bodies are bounded, and a foreign commit is looked at in quarantine.
"""
