"""Plays a language model: answers one question after the other from a file, as an OpenAI-compatible endpoint.

It shows what a policy does with answers, without a key; what it says was written beforehand, and it reads no question.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Gives the next answer to every POST."""

    answers: list[Any]

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing, for the search talks on the same terminal."""

    def do_POST(self) -> None:
        """Answer in the form of a chat completion."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {"role": "assistant", "content": json.dumps(self.answers.pop(0))}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        head = {"id": "scripted", "object": "chat.completion", "created": 0, "model": asked["model"]}
        body = json.dumps({**head, "choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until all answers are given."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("script", type=Path, help="JSON list of answers")
    parser.add_argument("--port", type=int, default=8089)
    options = parser.parse_args()
    Handler.answers = json.loads(options.script.read_text())
    with HTTPServer(("127.0.0.1", options.port), Handler) as server:
        print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
        while Handler.answers:
            server.handle_request()


if __name__ == "__main__":
    main()
