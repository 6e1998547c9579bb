import threading

import pytest

from dbnet.utils.parallel import in_order


def test_results_come_in_order_and_few_are_under_way():
    started = []

    def tasks():
        for number in range(100):
            started.append(number)
            yield lambda number=number: number

    results = in_order(tasks(), num_threads=2, num_ahead=8)
    assert next(results) == 0 and len(started) <= 10
    assert list(results) == list(range(1, 100))


def test_a_failure_is_passed_on():
    def fail():
        raise ZeroDivisionError(threading.current_thread().name)

    with pytest.raises(ZeroDivisionError):
        list(in_order([fail], num_threads=1, num_ahead=4))
