"""Trees of trials: nothing that a trial writes reaches the person's files or the code of its evaluation."""

import os
import sys
import textwrap
from pathlib import Path

import pytest
from searching import Target

from autoresearch import sandbox
from autoresearch.search import edits, tree
from autoresearch.search.campaign import Campaign
from autoresearch.search.proposal import Proposal, Result

POLICY = {"type": "llm_diff", "mutable_file": "train.py", "llm_api_url": "http://x", "llm_model": "m"}
START = 'print("loss: 5")\n'


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A committed train.py with diffs allowed."""
    found = Target(tmp_path).write(START, policy=POLICY)
    found.commit()
    return found


def evaluated(tmp_path: Path) -> Target:
    """One whose evaluation is a committed prepare.py beside it."""
    (tmp_path / "prepare.py").write_text('import helper\nprint("loss:", helper.LOSS)\n')
    (tmp_path / "helper.py").write_text("LOSS = 5\n")
    evaluation = {"eval_cmd": [sys.executable, "-S", "prepare.py"]}
    found = Target(tmp_path).write(START, policy=POLICY | {"frozen_file": "prepare.py"}, target=evaluation)
    found.commit()
    return found


def changed(campaign: Campaign, script: str) -> Result:
    """Of a trial whose train.py holds another text; the number is 1."""
    new = textwrap.dedent(script) + 'print("loss: 1")\n'
    campaign.try_one(Proposal(diff=edits.unified(START, new, "train.py"), source="by_hand", rationale="x"))
    campaign.engine.last = None
    return campaign.journal.results()[-1]


@pytest.mark.parametrize(
    "cheat",
    [
        'open("prepare.py", "w").write("print(\'loss: 0\')")',
        'open("helper.py", "w").write("LOSS = 0")',
        'import os\nos.mkdir("helper")\nopen("helper/__init__.py", "w").write("LOSS = 0")',
        'import os\nos.remove("helper.py")\nos.symlink(os.environ["AR_RUN_DIR"], "helper")\n'
        'open(os.environ["AR_RUN_DIR"] + "/__init__.py", "w").write("LOSS = 0")',
        'import os\nos.rename("../code", "../gone")\nos.symlink("gone", "../code")\n'
        'open("prepare.py", "w").write("print(\'loss: 0\')")',
        'import compileall, os\nopen("evil.py", "w").write("LOSS = 0")\nimport py_compile\n'
        'os.makedirs("__pycache__", exist_ok=True)\nimport importlib.util\n'
        'py_compile.compile("evil.py", importlib.util.cache_from_source("helper.py"), dfile="helper.py",'
        " invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)",
    ],
)
def test_evaluation_of_a_diff_runs_the_code_of_its_commit(tmp_path: Path, cheat: str) -> None:
    with evaluated(tmp_path).opened() as campaign:
        result = changed(campaign, cheat + "\n")
    assert (result.status, result.metric) == ("ok", 5.0), result.reason
    assert (tmp_path / "prepare.py").read_text().startswith("import helper")


def test_evaluation_of_a_diff_reads_what_training_left(tmp_path: Path) -> None:
    target = evaluated(tmp_path)
    (tmp_path / "prepare.py").write_text('print("loss:", open("out/latest/model").read())\n')
    target.git("commit", "-qam", "read the model")
    (tmp_path / "out" / "empty").mkdir(parents=True)
    (tmp_path / "out" / "latest").symlink_to("empty")
    script = """
        import os
        os.mkdir("out/new")
        open("out/new/model", "w").write("3")
        os.remove("out/latest")
        os.symlink("new", "out/latest")
    """
    with target.opened() as campaign:
        result = changed(campaign, script)
    assert result.metric == 3.0, result.reason + result.tail
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["empty", "latest"]


def test_files_beside_the_code_are_copied_to_each_trial(target: Target) -> None:
    (target.folder / "out").mkdir()
    (target.folder / "out" / "best.pt").write_text("mine")
    (target.folder / "prepare.py").write_text("mine")
    script = """
        assert open("out/best.pt").read() == open("prepare.py").read() == "mine"
        open("out/best.pt", "w").write("its own")
        open("prepare.py", "w").write("its own")
        open("out/more", "w").write("its own")
    """
    with target.opened() as campaign:
        assert changed(campaign, script).status == "ok"
    assert [path.name for path in (target.folder / "out").iterdir()] == ["best.pt"]
    assert (target.folder / "out" / "best.pt").read_text() == (target.folder / "prepare.py").read_text() == "mine"


def test_files_that_are_too_large_to_copy_are_linked_and_said(target: Target) -> None:
    (target.folder / "data").mkdir()
    with open(target.folder / "data" / "large", "wb") as file:
        file.truncate(tree.COPIED_BYTES + 1)
    (target.folder / "small").write_text("x")
    script = """
        import os
        assert os.path.islink("data") and os.path.exists("data/large") and not os.path.islink("small")
    """
    with target.opened() as campaign:
        assert changed(campaign, script).status == "ok"
    said = target.run(verb="validate", OPENAI_API_KEY="k").err
    assert "note: target.workdir: data" in said and "small" not in said


@pytest.mark.skipif(sandbox.find().kind == "open", reason="nothing confines trials here")
def test_files_that_are_linked_can_only_be_read_where_trials_are_confined(target: Target) -> None:
    with open(target.folder / "large", "wb") as file:
        file.truncate(tree.COPIED_BYTES + 1)
    target.configure(policy=POLICY, target={"sandbox": True})
    script = """
        assert open("large", "rb").read(1) == b"\\0"
        try:
            open("large", "r+b").write(b"evil")
        except OSError:
            print("AR_METRIC {\\"loss\\": 0.5}")
    """
    with target.opened() as campaign:
        assert changed(campaign, script).metric == 0.5
    assert "large" not in target.run(verb="validate", OPENAI_API_KEY="k").err


def test_environment_of_the_project_runs_trials_of_diffs(target: Target) -> None:
    """A program at .venv/bin is there in the tree, and uv is told to leave the environment as it is."""
    (target.folder / ".venv" / "bin").mkdir(parents=True)
    (target.folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (target.folder / ".venv" / "pyvenv.cfg").write_text("")
    (target.folder / ".env").write_text("SECRET=1")
    target.configure(policy=POLICY, target={"train_cmd": [".venv/bin/python", "-S", "train.py"]})
    script = 'import os\nassert os.environ["UV_NO_SYNC"] == "1"\nassert not os.path.exists(".env")\n'
    with target.opened() as campaign:
        result = changed(campaign, script)
    assert result.status == "ok", result.reason
    said = target.run(verb="validate", OPENAI_API_KEY="k")
    assert said.code == 0 and ".venv" not in said.err


def test_modules_on_the_path_of_the_person_are_found_and_those_of_the_repository_are_the_trials_own(
    tmp_path: Path,
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "mine.py").write_text("VALUE = 1\n")
    other = tmp_path.with_name(f"{tmp_path.name}-other")
    other.mkdir()
    (other / "elsewhere.py").write_text("VALUE = 2\n")
    check = "import mine, elsewhere\nfrom autoresearch_rl.target import progress\nprint(mine.__file__)\n"
    target = Target(tmp_path).write(check + START, policy={"type": "static", "params": {}})
    target.commit()
    path = os.pathsep.join([str(tmp_path / "src"), str(other)])
    (tmp_path / "a.patch").write_text(edits.unified(check + START, check + "x = 1\n" + START, "train.py"))
    ended = target.run("--diff", "a.patch", verb="run-one", PYTHONPATH=os.pathsep.join([path, *sys.path]))
    assert ended.code == 0, ended.err
    first, second = ((target.trial(number) / "run.log").read_text() for number in (1, 2))
    assert str(tmp_path / "src" / "mine.py") in first
    assert str(target.trial(2) / "code" / "src" / "mine.py") in second
