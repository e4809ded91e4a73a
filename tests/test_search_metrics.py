"""The number of a trial, from the strictest place that names it."""

from pathlib import Path

import pytest

from autoresearch.search import metrics


def measured(folder: Path, text: str, file: str = "", report: dict[str, float] | None = None) -> metrics.Measured:
    (folder / "run.log").write_text(text)
    if file:
        (folder / "metric.json").write_text(file)
    return metrics.read([folder / "run.log", folder / "eval.log"], folder / "metric.json", report or {}, "loss")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("loss: 1.5\n", 1.5),
        ("loss=1.5\n", 1.5),
        ("  loss = 1.5  \n", 1.5),
        ("loss: 1\nloss: 2\n", 2.0),
        ("val_loss: 1\nlosses: 3\nthe loss: 4\nloss is 5\n", None),
        ("step 1\rstep 2\rloss: 7\n", 7.0),
        ("loss: 1e-3", 1e-3),
        ("loss: 1.5 nats\n", None),
        ("loss: 1\nloss: nan\n", None),
        ("loss: inf\n", None),
        ("loss: True\n", None),
        ('AR_METRIC {"loss": 3}\nloss: 1\n', 3.0),
        ('AR_METRIC {"loss": 3}\nAR_METRIC {"loss": 4, "acc": 0.5}\n', 4.0),
        ('AR_METRIC {"loss": null}\nloss: 1\n', None),
        ('AR_METRIC {"other": 3}\nloss: 1\n', 1.0),
        ("AR_METRIC nonsense\nloss: 1\n", 1.0),
        ("\x00\xff\nloss: 2\n", 2.0),
        ("", None),
    ],
)
def test_metric_is_read_from_the_strictest_place(tmp_path: Path, text: str, value: float | None) -> None:
    assert measured(tmp_path, text).value == value


@pytest.mark.parametrize("name", ["pass@1", "val loss", "loss (nats)", "a: b", "精度", ".*"])
def test_metric_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "run.log").write_text(f"{name}: 0.5\nother: 2\n{name}: 0.75\n{name} x: 3\n")
    assert metrics.read([tmp_path / "run.log"], None, {}, name) == (0.75, {name: 0.75, "other": 2.0}, "")


def test_metric_of_a_file_beats_lines_and_reports_come_last(tmp_path: Path) -> None:
    assert measured(tmp_path, "loss: 1\n", '{"loss": 2, "acc": 3}', {"loss": 9, "lr": 4}) == (
        2.0,
        {"loss": 2.0, "acc": 3.0, "lr": 4.0},
        "",
    )
    (tmp_path / "metric.json").unlink()
    assert measured(tmp_path, "acc: 1\n", report={"loss": 9.0}).value == 9.0
    assert measured(tmp_path, "loss: nan\n", report={"loss": 9.0}) == (None, {}, "nan")


def test_metrics_are_not_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("loss: 1\n")
    (tmp_path / "eval.log").symlink_to(tmp_path / "secret")
    assert measured(tmp_path, "").value is None


def test_metrics_are_bounded_however_much_a_log_names(tmp_path: Path) -> None:
    lines = [f'AR_METRIC {{"m{number}": 1, "{"n" * 200}": 2}}\np{number}: 1\n' for number in range(1000)]
    found = measured(tmp_path, "".join(lines) + 'AR_METRIC {"loss": 3}\n', report={f"r{n}": 1.0 for n in range(500)})
    assert found.value == 3.0 and len(found.others) <= metrics.MOST_NAMES + 1
    assert "n" * 200 not in found.others
