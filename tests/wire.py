"""Bytes on their way to a hub and back, and an agent that has said something."""

import socket
import time

import requests
from hubs import Client, Live


def said(answer: requests.Response) -> tuple[int, str]:
    """Status and words of a refusal."""
    body = answer.json()
    assert set(body) == {"error"} and answer.headers["Content-Type"] == "application/json"
    assert answer.text.endswith("}\n")
    return answer.status_code, body["error"]


def exchange(live: Live, data: bytes, *more: bytes, pause_s: float = 0.0) -> bytes:
    """Send bytes, piece by piece, and read until the hub closes."""
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as wire:
        wire.sendall(data)
        for piece in more:
            time.sleep(pause_s)
            wire.sendall(piece)
        received = b""
        while part := wire.recv(65536):
            received += part
        return received


def head(method: str, path: str, *lines: str) -> bytes:
    """The head of a request that closes its connection."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *lines, "", ""]).encode()


def speaker(live: Live) -> Client:
    """An agent, and a channel `talk` with a post and a reply to it."""
    one = live.join("speaker")
    one.post("/api/channels", name="talk", description="of all")
    first = one.post("/api/channels/talk/posts", content="first").json()
    one.post("/api/channels/talk/posts", content="reply", parent_id=first["id"])
    return one
