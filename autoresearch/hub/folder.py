"""What lies in the folder of a hub."""

DATABASE = "hub.sqlite"
REPOSITORY = "git"
INCOMING = "incoming"  # uploads and quarantines, while a push is under way
