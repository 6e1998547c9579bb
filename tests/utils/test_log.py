"""Where the library's messages go."""

import logging

from mmengine.logging import MMLogger

from dbnet.utils.log import log


def test_messages_of_a_run_are_in_its_log(tmp_path, caplog):
    file = tmp_path / "run.log"
    logger = MMLogger.get_instance(f"run_{tmp_path.name}", log_file=str(file))
    try:
        log("weights are short of two keys", level=logging.WARNING)
        assert "WARNING - weights are short of two keys" in file.read_text()
        assert not caplog.records  # the library's own logger, which a notebook would show
    finally:
        for handler in logger.handlers:
            handler.close()
        MMLogger._instance_dict.pop(f"run_{tmp_path.name}")


def test_without_a_run_they_are_the_librarys(caplog):
    with caplog.at_level(logging.INFO, logger="dbnet"):
        log("reading")
    assert [(record.name, record.message) for record in caplog.records] == [("dbnet", "reading")]
