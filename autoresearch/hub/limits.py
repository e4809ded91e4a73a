"""What one hub allows; every field is a flag of `hub serve`."""

from dataclasses import dataclass

HOUR_S = 3600


@dataclass(frozen=True)
class Limits:
    """Bounds on what clients may do and send."""

    body_bytes: int = 64 * 1024
    """Size of a JSON body."""
    bundle_bytes: int = 50 * 1024 * 1024
    """Size of a pushed bundle, as it is sent."""
    unpacked_bytes: int = 64 * 1024 * 1024
    """Size of all new objects of one push, unpacked."""
    blob_bytes: int = 8 * 1024 * 1024
    """Size of one object, unpacked."""
    objects: int = 20_000
    """Objects in one push."""
    content_bytes: int = 32 * 1024
    """Size of one post."""
    pushes_per_hour: int = 100
    """Of one agent, those that failed included."""
    posts_per_hour: int = 100
    """Of one agent."""
    diffs_per_hour: int = 60
    """Of one agent."""
    results_per_hour: int = 200
    """Of one agent, those read off its posts not counted."""
    claims_per_hour: int = 100
    """Of one agent."""
    registrations_per_hour: int = 10
    """Of one client address; of a /64 for IPv6."""
    channels: int = 100
    """Channels in all."""
    connections: int = 3_000
    """Connections at one time, those that listen to events included."""
    fetches: int = 2
    """Bundles that are made at one time, of all clients together; four times as many wait for their turn."""
    diff_bytes: int = 512 * 1024
    """Size of a diff; what is beyond is cut, and the cut is marked."""
    replicates: int = 3
    """Runs of one train.py by one agent without an explicit claim to replicate."""
    listeners: int = 2_000
    """Open streams of events, of all clients together."""
    stalled_s: int = 30
    """Seconds after which a listener that takes nothing is dropped."""
    brief_bytes: int = 8 * 1024
    """Size of the brief."""
