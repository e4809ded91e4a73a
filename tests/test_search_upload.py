"""upload CONFIG, against a stub of the Hub on loopback."""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from searching import FIND_PARAMS, Ended, Target

TRAIN = FIND_PARAMS + (
    'from pathlib import Path\nfolder = Path(os.environ["AR_MODEL_DIR"])\n'
    '(folder / "deep").mkdir()\n(folder / "deep" / "weights").write_text(str(params["x"]))\n'
    '(folder / "stolen").symlink_to(Path("secret.txt").resolve())\n(folder / "elsewhere").symlink_to(Path.cwd())\n'
    'print("loss:", abs(params["x"] - 2))\n'
)


@dataclass
class Hub:
    """The stub as a test sees it."""

    url: str = ""
    status: int = 200
    """Of every answer."""
    made: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    message: str = ""
    tokens: set[str] = field(default_factory=set)


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            hub.tokens.add(self.headers.get("Authorization", ""))
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = json.dumps(self.respond(text)).encode()
            self.send_response(hub.status)
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def respond(self, text: bytes) -> dict[str, Any]:
            if hub.status >= 400:
                return {"error": "no such user"}
            if self.path == "/api/repos/create":
                hub.made.append(json.loads(text))
                return {"url": f"{hub.url}/ada/model"}
            if self.path == "/api/models/ada/model/preupload/main":
                paths = [one["path"] for one in json.loads(text)["files"]]
                return {"files": [{"path": one, "uploadMode": "regular", "shouldIgnore": False} for one in paths]}
            assert self.path == "/api/models/ada/model/commit/main"
            for line in map(json.loads, text.splitlines()):
                if line["key"] == "file":
                    hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                else:
                    hub.message = line["value"]["summary"]
            return {"success": True, "commitOid": "c" * 40, "commitUrl": f"{hub.url}/ada/model/commit/{'c' * 40}"}

    return Handler


@pytest.fixture
def hub() -> Iterator[Hub]:
    found = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(found))
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def upload(target: Target, hub: Hub, *words: str, token: str = "hf_secret7") -> Ended:
    """Run the verb."""
    variables = {
        "HF_TOKEN": token,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(target.folder / "hf"),
        "NO_PROXY": "127.0.0.1",
    }
    return target.run("--repo", "ada/model", *words, verb="upload", **variables)


def searched(folder: Path, **sections: Any) -> Target:
    """A target that was searched; its second trial is the best."""
    target = Target(folder).write(TRAIN, **sections)
    (folder / "secret.txt").write_text("private key")
    with target.opened() as campaign:
        campaign.search()
    return target


def test_upload_sends_the_best_model_in_one_commit(hub: Hub, tmp_path: Path) -> None:
    target = searched(tmp_path)
    ended = upload(target, hub)
    assert ended.code == 0, ended.err
    assert hub.files.keys() == {"deep/weights", "version.json"} and hub.files["deep/weights"] == b"2"
    assert hub.made == [{"name": "model", "organization": "ada", "visibility": "private"}]
    assert hub.message == "test: loss 0.0"
    facts = ended.facts()
    assert (facts["version"], facts["trial"], facts["repo"]) == (2, 2, "ada/model") and hub.url in facts["url"]
    assert json.loads(hub.files["version.json"])["params"] == {"x": 2}


def test_upload_tells_nothing_of_this_machine(hub: Hub, tmp_path: Path) -> None:
    target = searched(tmp_path, telemetry={"model_output_dir": "models"})
    assert upload(target, hub, "--public").code == 0
    assert hub.made[0]["visibility"] == "public" and hub.files["deep/weights"] == b"2"
    sent = b"".join(hub.files.values()) + hub.message.encode()
    assert str(tmp_path).encode() not in sent and b"private key" not in sent


def test_upload_writes_the_token_nowhere(hub: Hub, tmp_path: Path) -> None:
    target = searched(tmp_path)
    ended = upload(target, hub)
    assert hub.tokens == {"Bearer hf_secret7"} and "hf_secret7" not in ended.out + ended.err
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"hf_secret7" in path.read_bytes()]


def test_upload_says_why_it_was_refused(hub: Hub, tmp_path: Path) -> None:
    target, hub.status = searched(tmp_path), 403
    ended = upload(target, hub)
    assert ended.code == 1 and "no such user" in ended.err and "Traceback" not in ended.err


def test_upload_to_nobody_is_refused(tmp_path: Path) -> None:
    ended = upload(searched(tmp_path), Hub(url="http://127.0.0.1:1"))
    assert ended.code == 1 and "http://127.0.0.1:1 did not take the model" in ended.err and "Traceback" not in ended.err


def test_upload_needs_a_model_a_token_and_a_name(hub: Hub, tmp_path: Path) -> None:
    target = Target(tmp_path).write(FIND_PARAMS + 'print("loss:", 1)\n')
    assert "begin with" in upload(target, hub).err
    with target.opened() as campaign:
        campaign.search()
    ended = upload(target, hub)
    assert ended.code == 1 and "AR_MODEL_DIR" in ended.err
    ended = upload(target, hub, token="")
    assert ended.code == 2 and "HF_TOKEN" in ended.err
    ended = upload(target, hub, "--repo", "model")
    assert ended.code == 2 and "USER/NAME" in ended.err
    assert not hub.files


def test_upload_without_a_good_trial_is_refused(hub: Hub, tmp_path: Path) -> None:
    target = Target(tmp_path).write("raise SystemExit(1)")
    with target.opened() as campaign:
        campaign.search()
    assert "none was" in upload(target, hub).err
