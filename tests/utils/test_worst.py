from dbnet.utils.worst import Worst


def test_worst_keeps_the_worst_and_makes_no_others():
    worst, drawn = Worst(2), []
    for errors, path in [(3, "a"), (1, "b"), (5, "c"), (2, "d"), (0, "e")]:
        worst.add((errors, path), lambda path=path: drawn.append(path))
    assert drawn == ["a", "b", "c"]
    assert [rank for rank, _ in worst.in_order()] == [(5, "c"), (3, "a")]
