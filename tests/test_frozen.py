"""prepare.py is frozen: scores made with different versions of it do not compare."""

import hashlib
from pathlib import Path

PREPARE = Path(__file__).resolve().parent.parent / "prepare.py"
PIN = "72c5f420b765423ff41cb1dab0eafd9608beb6af0186853454a4b5ab60cbd956"

HOW_TO_CHANGE_IT = f"""
{PREPARE.name} must have the sha256 {PIN}
but it has                {{found}}.
It is frozen, because every score depends on it; if you did not mean to change it: git restore {PREPARE.name}
It changes only with a page in docs/decisions/ that says what changes, why, and that older scores do not compare,
and with the new digest as PIN in tests/{Path(__file__).name} in the same commit (docs/decisions/0004-*.md).
"""


def test_prepare_is_the_version_that_was_pinned() -> None:
    found = hashlib.sha256(PREPARE.read_bytes()).hexdigest()
    assert found == PIN, HOW_TO_CHANGE_IT.format(found=found)
