"""Runners that test, for the commands that need one."""

import os

from mmengine.config import Config

from dbnet.checkpoints.foreign import place_graph
from dbnet.checkpoints.read import load_weights
from dbnet.deploy.exported_detector import use_exported
from dbnet.deploy.runtimes import is_exported
from dbnet.engine.runner import EvaluationRunner
from dbnet.engine.start import config_mistakes_reported


def evaluation_runner(
    config: Config, checkpoint: str | os.PathLike[str], name: str
) -> EvaluationRunner:
    """Build the runner that tests a checkpoint as `dbnet test` takes it, with its test loop.

    The config is changed where that is an exported or a foreign file.
    """
    checkpoint = os.fspath(checkpoint)
    exported = is_exported(checkpoint)
    if exported:
        use_exported(config, checkpoint)
    weights = None if exported else place_graph(config, checkpoint)
    with config_mistakes_reported(name):
        runner = EvaluationRunner.from_cfg(config)
        if weights is not None:
            load_weights(runner.model, weights)
        _ = runner.test_loop.dataloader.dataset
    return runner
