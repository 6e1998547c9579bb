from dbnet.evaluation.protocols.counting import notes_on
from dbnet.evaluation.protocols.scene import Scene
from tests.evaluation.protocols.scenes import BOW_TIE, TWO_POINTS, box, points

BOX = box(0, 0, 100, 20)
SLANTED = points(0, 0, 100, 5, 100, 25, 0, 20)
BENT = points(0, 0, 50, 5, 100, 0, 100, 20, 50, 25, 0, 20)


def notes(*names, texts=(BOX,), predictions=(BOX,), num_chars=()):
    scene = Scene(list(texts), [False] * len(texts), list(predictions), num_chars)
    return notes_on([scene, Scene([], [], [])], names)


def test_what_fits_is_not_noted():
    names = "icdar2013", "icdar2013_deteval", "td500", "totaltext", "ctw1500", "tiou"
    assert notes(*names) == []
    assert notes("cleval", num_chars=[4]) == []
    assert notes("totaltext", texts=[BENT], predictions=[BENT, BOX]) == []
    # A box that begins with another corner and runs the other way round.
    assert notes("icdar2013", predictions=[points(0, 20, 0, 0, 100, 0, 100, 20)]) == []


def test_predictions_without_area():
    expected = "2 of 3 predictions have no area, such as two points"
    assert notes("icdar2015", predictions=[TWO_POINTS, BOX, BOW_TIE]) == [expected]


def test_boxes_protocols_with_other_outlines():
    for name in ("icdar2013", "icdar2013_deteval"):
        expected = (
            f"{name} measures boxes: 2 of 3 outlines are none and became their bounding boxes"
        )
        assert notes(name, predictions=[SLANTED, BENT]) == [expected]


def test_polygons_protocols_with_quads():
    for name in ("totaltext", "ctw1500"):
        (note,) = notes(name, texts=[BENT])
        assert note.startswith(f"{name} measures polygons, but all predictions have four corners")


def test_rectangles_protocol_with_polygons():
    expected = "td500 measures rectangles: 1 of 2 outlines became their least rectangles"
    assert notes("td500", predictions=[BENT]) == [expected]


def test_characters_without_transcriptions():
    expected = "cleval: 1 of 2 texts have no transcription, their shape tells their length"
    assert notes("cleval", texts=[BOX, BOX], num_chars=[4, -1]) == [expected]
