"""prepare.py is frozen: scores made with different versions of it do not compare."""

import hashlib
from pathlib import Path

PREPARE = Path(__file__).resolve().parent.parent / "prepare.py"
PIN = "6b287fe98f08bed3dfb0308d4f951e8290fd3d294436e2866d03686c8ec142b0"

HOW_TO_CHANGE_IT = f"""
{PREPARE.name} must have the sha256 {PIN}
but it has                {{found}}.
It is frozen, because every score depends on it; if you did not mean to change it: git restore {PREPARE.name}
It changes only with a page in docs/decisions/ that says what changes, why, and that older scores do not compare;
then set PIN in tests/{Path(__file__).name} to the new digest in the same commit (docs/decisions/0004).
"""


def test_prepare_is_the_version_that_was_pinned() -> None:
    found = hashlib.sha256(PREPARE.read_bytes()).hexdigest()
    assert found == PIN, HOW_TO_CHANGE_IT.format(found=found)
