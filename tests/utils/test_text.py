from dbnet.utils.text import natural_key


def test_natural_order() -> None:
    names = ["img_10", "b", "img_2", "img_2b", "10", "img_1_2", "img_1_10", "img_1", "9", ""]
    assert sorted(names, key=natural_key) == [
        *("", "9", "10", "b"),
        *("img_1", "img_1_2", "img_1_10", "img_2", "img_2b", "img_10"),
    ]
