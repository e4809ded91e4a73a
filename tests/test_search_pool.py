"""What trials share: amounts, and GPUs by number."""

from autoresearch.search.pool import Pool


def test_pool_admits_what_fits() -> None:
    pool = Pool({"gpu": 2.0, "memory": 10.0}, devices=("0", "1"), most=8)
    assert (pool.room({"gpu": 1}), pool.room({"gpu": 0.5}), pool.room({"memory": 4}), pool.room({})) == (2, 4, 2, 8)
    assert pool.claim(1, {"gpu": 1}) == ["0"] and pool.claim(2, {"gpu": 1}) == ["1"]
    assert pool.room({"gpu": 0.5}) == 0
    pool.release(1)
    assert pool.claim(3, {"gpu": 0.5}) == ["0"] and pool.claim(4, {"gpu": 0.5}) == ["0"]
    assert pool.room({"gpu": 0.5}) == 0 and pool.room({"other": 5}) == 5


def test_pool_puts_no_share_where_its_device_has_no_room() -> None:
    pool = Pool({"gpu": 2.0}, devices=("0", "1"), most=8)
    assert pool.room({"gpu": 0.6}) == 2
    assert [pool.claim(number, {"gpu": 0.6}) for number in range(2)] == [["0"], ["1"]]
    assert (pool.room({"gpu": 0.6}), pool.room({"gpu": 0.4}), pool.room({"gpu": 0.2})) == (0, 2, 4)


def test_pool_spreads_shares_over_devices() -> None:
    pool = Pool({"gpu": 2.0}, devices=("4", "6"), most=8)
    assert [pool.claim(number, {"gpu": 0.5}) for number in range(4)] == [["4"], ["6"], ["4"], ["6"]]
