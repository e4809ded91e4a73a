"""`report`: what it writes and where, what it refuses, and the page that follows a night."""

import http.client
import json
import signal
import socket
import subprocess
from pathlib import Path

import morning
import night
import pytest

from autoresearch.report import server, sources

PNG = b"\x89PNG\r\n\x1a\n"


def ask(url: str, path: str = "/", host: str = "", method: str = "GET") -> tuple[int, str]:
    """Status and body of a request, with a Host header of one's own."""
    address = url.removeprefix("http://").strip("/")
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request(method, path, headers={"Host": host or address})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


@pytest.mark.slow
def test_report_writes_page_and_picture_where_git_does_not_look(root: Path) -> None:
    one = night.Night(root)
    folder = root / "results" / morning.TAG
    before = one.git("status", "--porcelain", "--ignored")
    done = one.run("report", "--records", "--out", str(root / "results" / "copy"))
    assert done.stdout.splitlines() == [
        str(root / "results" / "copy" / name) for name in ("report.html", "progress.png")
    ]
    assert (root / "results" / "copy" / "progress.png").read_bytes().startswith(PNG) and "43 records" in done.stderr
    assert one.run("report").stdout.startswith(str(folder / "report.html"))
    assert "of every attempt" not in done.stderr and one.git("status", "--porcelain", "--ignored") == before
    again = one.run("report", "--ledger", "results/copy/results.tsv").stdout
    assert again.startswith(str(root / "results" / "report" / "report.html"))
    first, second = ((root / "results" / name / "report.html").read_text() for name in (morning.TAG, "report"))
    assert first.count('class="row keep"') == second.count('class="row keep"') > 2


def test_report_of_a_table_needs_no_repository(tmp_path: Path) -> None:
    (tmp_path / "results.tsv").write_text("commit\tacc\tmemory_gb\tstatus\tdescription\na\t0.5\t1\tkeep\t$x_1$ 文\n")
    one = night.Night(tmp_path, GIT_CEILING_DIRECTORIES=str(tmp_path.parent))
    one.run("report", "--ledger", "results.tsv", "--metric", "acc", "--direction", "max")
    html = (tmp_path / "results" / "report" / "report.html").read_text()
    assert "$x_1$ 文" in html and "higher is better" in html
    assert "name one of commit, acc" in one.refuse("report", "--ledger", "results.tsv")
    assert "no file" in one.refuse("report", "--ledger", "none.tsv")


def test_report_of_a_table_whose_first_row_is_cut_off_has_all_its_columns(tmp_path: Path) -> None:
    (tmp_path / "results.tsv").write_text("commit\tstatus\tdescription\tacc\na\tkeep\nb\tkeep\tsecond\t0.5\n")
    one = night.Night(tmp_path, GIT_CEILING_DIRECTORIES=str(tmp_path.parent))
    one.run("report", "--ledger", "results.tsv", "--metric", "acc", "--direction", "max")
    assert "second" in (tmp_path / "results" / "report" / "report.html").read_text()


def test_report_is_refused_where_nothing_was_begun(tmp_path: Path) -> None:
    one = night.fresh(tmp_path)
    assert "autoresearch setup TAG" in one.refuse("report")
    for options in (["--metric", "x"], ["--direction", "max"], ["--direction", "up"], ["--port", "70000"]):
        assert one.refuse("report", *options, code=2)


def listening(one: night.Night, *options: str) -> tuple[subprocess.Popen, str]:
    """`report --serve` and its address."""
    process = one.start("report", "--serve", "--port", "0", *options)
    assert process.stdout
    return process, process.stdout.readline().strip()


@pytest.mark.slow
def test_report_served_follows_an_attempt_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    one = night.begun(tmp_path)
    one.edit(LR=0.5, MODE="wait")
    one.run("try", "--detach", "-m", "halve LR")
    reports = one.root / "results/t1/0002/1/progress.jsonl"
    night.until(reports.exists)
    process, url = listening(one)
    try:
        status, html = ask(url)
        assert status == 200 and "data-live" in html and "attempt 0002, run 1: halve LR" in html
        news = json.loads(ask(url, "/live.json")[1])
        assert news["under_way"]["progress"] == 0.5 and "loss 2.5" in news["under_way"]["line"]
        with open(reports, "a") as file:
            file.write(
                json.dumps({"step": 7, "progress": 0.75, "elapsed_s": 1.5, "metrics": {"train_loss": 2.25}}) + "\n"
            )
        later = json.loads(ask(url, "/live.json")[1])
        assert later["under_way"]["progress"] == 0.75 and later["under_way"]["curve"] == [[1.0, 2.5], [1.5, 2.25]]
        assert later["stamp"] == news["stamp"]
        one.run("report", "--out", str(tmp_path / "out"))
        assert 'class="row running"' in (tmp_path / "out" / "report.html").read_text()

        (one.root / "results/t1/0002/1/go").touch()
        assert "keep" in one.run("wait").stdout
        news = json.loads(ask(url, "/live.json")[1])
        assert news["stamp"] != later["stamp"] and news["under_way"] is None
        assert 'class="row running"' not in (html := ask(url)[1]) and html.count('class="row keep"') == 2

        port = url.rpartition(":")[2].strip("/")
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{int(port) + 1}", "localhost"):
            assert ask(url, host=host)[0] == 403
        assert ask(url, host=f"localhost:{port}")[0] == 200
        assert ask(url, "/../results.tsv")[0] == ask(url, "/report.html")[0] == 404
        assert ask(url, method="HEAD") == (200, "") and ask(url, method="POST")[0] == 501
        taken = one.refuse("report", "--serve", "--port", port)
        assert f"port {port} must be free" in taken and "--port" in taken
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in err and "Ctrl-C ends it" in err


def test_served_page_is_made_anew_only_when_something_changed(root: Path) -> None:
    calls: list[str] = []

    def now() -> str:
        calls.append("made")
        return f"call {len(calls)}"

    live = server.Live(sources.of_checkout(root, {}), now, lambda: False)
    first = live.page()
    assert live.page() == first and live.news() and calls == ["made"]
    with open(root / "notes.md", "a") as file:
        file.write("\nA late thought.\n")
    stamp = json.loads(live.news())["stamp"]
    second = live.page()
    assert "A late thought." in second and "call 2" in second and f'"stamp":"{stamp}"' in second


def test_server_listens_on_loopback_only(root: Path) -> None:
    live = server.Live(sources.of_checkout(root, {}), lambda: "now", lambda: False)
    with server.Server(live, 0) as listener:
        assert listener.server_address[0] == "127.0.0.1" and listener.url.startswith("http://127.0.0.1:")
        with socket.socket() as other:
            other.settimeout(2)
            assert other.connect_ex(("127.0.0.2", listener.server_port)) != 0
