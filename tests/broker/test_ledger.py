"""The ledger: counts that only grow, and the equation they are for."""

import pytest

from nettool.broker.ledger import Ledger
from nettool.errors import DropReason, ErrorCode, ReturnReason


def filled() -> Ledger:
    ledger = Ledger()
    ledger.direct.accepted += 10
    ledger.direct.delivered += 3
    ledger.give_back(1, ReturnReason.QUEUE_FULL, 50)
    ledger.give_back(1, ReturnReason.QUEUE_FULL, 50)
    ledger.drop(2, DropReason.LAGGED, 50)
    ledger.refuse(ErrorCode.BAD_LINE)
    ledger.refuse(ErrorCode.BAD_LINE, 4)
    return ledger


@pytest.mark.parametrize(("queued", "adds_up"), [(3, True), (2, False), (4, False)])
def test_accepted_is_delivered_and_returned_and_dropped_and_queued(queued: int, adds_up: bool) -> None:
    assert filled().snapshot(queued).adds_up is adds_up


def test_a_snapshot_in_words_has_every_count_and_reason() -> None:
    assert str(filled().snapshot(3)) == (
        "accepted=10 delivered=3 returned=2 returned[queue-full]=2 dropped=2 dropped[lagged]=2 queued=3 refused=5 "
        "refused[bad-line]=5"
    )


def test_a_snapshot_does_not_change_with_the_ledger() -> None:
    ledger = filled()
    snapshot = ledger.snapshot(3)
    ledger.give_back(1, ReturnReason.QUEUE_FULL, 50)
    ledger.drop(1, DropReason.LAGGED, 50)
    ledger.refuse(ErrorCode.BAD_LINE)
    assert snapshot == filled().snapshot(3)


def test_bytes_are_counted_with_the_copies() -> None:
    ledger = filled()
    assert ledger.returned_bytes == {ReturnReason.QUEUE_FULL: 100}
    assert ledger.dropped_bytes == {DropReason.LAGGED: 50}


def test_modes_make_the_whole() -> None:
    ledger = filled()
    ledger.topic.accepted, ledger.mixed.accepted, ledger.topic.delivered, ledger.mixed.delivered = 20, 300, 1, 2
    assert (ledger.accepted, ledger.delivered) == (330, 6)


def test_nothing_dropped_is_no_reason() -> None:
    ledger = Ledger()
    ledger.drop(0, DropReason.SHUTDOWN, 50)
    assert ledger.dropped == {}
