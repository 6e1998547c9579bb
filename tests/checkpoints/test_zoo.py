"""The index of released models, the names that it gives to configs, and `dbnet zoo`."""

import argparse
import hashlib
import re
import shlex
from pathlib import Path

import pytest
import yaml
from mmengine.config import DictAction

from dbnet.checkpoints import index as model_index
from dbnet.checkpoints.conventions import conventions_of_config, find_mismatch
from dbnet.checkpoints.download import HASH_IN_NAME, cache_path
from dbnet.checkpoints.index import find_model, read_models
from dbnet.cli import zoo
from dbnet.cli.options import parse
from dbnet.config.find import config_folder, find_config
from dbnet.config.load import load_config
from dbnet.errors import UserError
from dbnet.registry import MODELS
from tests.checkpoints.test_download import CONTENT, HASHED, server  # noqa: F401

MODELS_WITH_FILES = [model for model in read_models() if model.weights is not None]

# What MMOCR released before 1.x, other than ResNet-18: style, mean, std and bgr_to_rgb.
MEAN_0X = (122.67891434, 116.66876762, 104.00698793)
MMOCR_1X = ("pytorch", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), True)
MMOCR_03 = ("caffe", MEAN_0X, (255.0, 255.0, 255.0), False)
MMOCR_04 = ("pytorch", MEAN_0X, (58.395, 57.12, 57.375), True)
OLDER = {
    **dict.fromkeys(("91cef9af", "aa96e477", "ed322016"), MMOCR_03),
    **dict.fromkeys(("352fec8a", "9fe3b590", "d7a76fff", "db297554"), MMOCR_04),
}

# MMOCR's README tables: the end of the file's name, precision, recall, hmean, test size
PUBLISHED = [
    ("7c0e94f2", 0.8853, 0.7583, 0.8169, 736),
    ("54f50589", 0.8744, 0.8276, 0.8504, 1024),
    ("452c443c", 0.8784, 0.8315, 0.8543, 1024),
    ("bde8c87a", 0.9052, 0.8272, 0.8644, 1024),
    ("013730aa", 0.9079, 0.8209, 0.8622, 1024),
    ("f289bd20", 0.9116, 0.8291, 0.8684, 1024),
    ("4ecb39ac", 0.9174, 0.8609, 0.8882, 1024),
    ("3ed3233c", 0.8640, 0.7770, 0.8182, 736),
    # MMOCR 0.x
    ("ba3ab597", 0.871, 0.731, 0.795, 736),
    ("9fe3b590", 0.868, 0.814, 0.840, 1024),
    ("91cef9af", 0.866, 0.796, 0.830, 1024),
    ("d7a76fff", 0.901, 0.822, 0.860, 1024),
]


def names_of(models):
    return [model.name for model in models]


# ---- the index


def test_index_is_in_openmmlabs_format():
    index = yaml.safe_load((config_folder() / "textdet/model-index.yml").read_text())
    collections = {collection["Name"]: collection for collection in index["Collections"]}
    assert set(collections) == {"DBNet", "DBNetpp"}
    for collection in collections.values():
        assert (config_folder() / collection["README"]).is_file()
        assert set(collection["Paper"]) == {"Title", "URL"}
    for entry in index["Models"]:
        assert entry["In Collection"] in collections
        assert entry["Metadata"]["Training Data"]
        folder = "dbnetpp" if entry["In Collection"] == "DBNetpp" else "dbnet"
        assert entry["Config"].startswith(f"textdet/{folder}/")
        for result in entry.get("Results", []):
            assert set(result) == {"Task", "Dataset", "Metrics"}
            assert set(result["Metrics"]) == {"precision", "recall", "hmean-iou"}


def test_names_and_aliases_are_unique():
    names = [name for model in read_models() for name in (model.name, *model.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("model", read_models(), ids=names_of(read_models()))
def test_configs_of_the_index_exist_and_no_alias_hides_one(model):
    assert model.config.is_file() and model.finetune_config.is_file()
    configs = {path.stem: path for path in (config_folder() / "textdet").rglob("*.py")}
    assert configs.get(model.name, model.config) == model.config
    assert not set(model.aliases) & set(configs)


@pytest.mark.parametrize("model", MODELS_WITH_FILES, ids=names_of(MODELS_WITH_FILES))
def test_files_carry_the_hash_of_the_index(model):
    found = HASH_IN_NAME.search(model.weights)
    assert found is not None and found[1] == model.sha256
    assert model.weights.startswith("https://download.openmmlab.com/mmocr/textdet/dbnet")


@pytest.mark.parametrize(("sha256", "precision", "recall", "hmean", "size"), PUBLISHED)
def test_published_figures(sha256, precision, recall, hmean, size):
    (model,) = [model for model in read_models() if model.sha256 == sha256]
    assert model.metrics == {"precision": precision, "recall": recall, "hmean-iou": hmean}
    # The harmonic mean of the two, within the rounding of three digits: no figure is misread.
    assert hmean == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-3)
    assert model.metadata["Test Size"] == str(size)
    pipeline = load_config(str(model.config)).test_dataloader.dataset.pipeline
    assert min(next(step for step in pipeline if step.type == "Resize").scale) == size


def test_every_published_figure_is_checked_above():
    checked = {row[0] for row in PUBLISHED}
    assert {model.sha256 for model in read_models() if model.metrics} == checked


@pytest.mark.parametrize("model", MODELS_WITH_FILES, ids=names_of(MODELS_WITH_FILES))
def test_the_index_names_a_config_with_the_conventions_of_the_file(model):
    needed = OLDER.get(model.sha256, MMOCR_1X)
    for config in (model.config, model.finetune_config):
        assert tuple(conventions_of_config(config).values()) == needed


def test_all_files_with_other_conventions_are_in_the_index():
    assert set(OLDER) <= {model.sha256 for model in MODELS_WITH_FILES}
    dated = r"_(2021|202205)\d+"  # MMOCR 1.x's first run is of August 2022
    old = {model.sha256 for model in MODELS_WITH_FILES if re.search(dated, model.name)}
    assert old - set(OLDER) == {"ba3ab597"}  # r18, whose conventions have always been these


def test_a_config_with_the_means_of_1x_is_refused_for_a_file_of_04():
    settings = load_config("dbnetpp_r50dcnv2_fpnc_1200e_icdar2015").model
    settings.backbone.init_cfg = None
    message = find_mismatch(MODELS.build(settings), "d7a76fff" + "0" * 56, from_mhliao=False)
    assert message is not None and "needs mean (122.67" in message
    assert message.endswith("use the config dbnetpp_r50dcnv2_fpnc_1200e_icdar2015_mmocr04")


# ---- names of configs


@pytest.mark.parametrize(
    ("name", "config"),
    [
        # of MMOCR 1.x
        ("dbnet_resnet18_fpnc_1200e_icdar2015", "dbnet_r18_fpnc_1200e_icdar2015"),
        ("dbnet_resnet50_1200e_icdar2015", "dbnet_r50_fpnc_1200e_icdar2015"),
        ("dbnet_resnet50-dcnv2_fpnc_1200e_icdar2015", "dbnet_r50dcnv2_fpnc_1200e_icdar2015"),
        ("dbnet_resnet50-oclip_1200e_icdar2015", "dbnet_r50-oclip_fpnc_1200e_icdar2015"),
        ("dbnet_resnet18_fpnc_1200e_totaltext", "dbnet_r18_fpnc_1200e_totaltext"),
        ("dbnet_resnet18_fpnc_100k_synthtext", "dbnet_r18_fpnc_100k_synthtext"),
        ("dbnet_resnet50-dcnv2_fpnc_100k_synthtext", "dbnet_r50dcnv2_fpnc_100k_synthtext"),
        ("dbnetpp_resnet50_fpnc_1200e_icdar2015", "dbnetpp_r50_fpnc_1200e_icdar2015"),
        ("dbnetpp_resnet50-dcnv2_fpnc_1200e_icdar2015", "dbnetpp_r50dcnv2_fpnc_1200e_icdar2015"),
        ("dbnetpp_resnet50-oclip_fpnc_1200e_icdar2015", "dbnetpp_r50-oclip_fpnc_1200e_icdar2015"),
        ("dbnetpp_resnet50-dcnv2_fpnc_100k_synthtext", "dbnetpp_r50dcnv2_fpnc_100k_synthtext"),
        # of its metafile, where no such config is
        ("dbnet_resnet50_fpnc_1200e_icdar2015", "dbnet_r50_fpnc_1200e_icdar2015"),
        ("dbnet_resnet50-oclip_fpnc_1200e_icdar2015", "dbnet_r50-oclip_fpnc_1200e_icdar2015"),
        # of MMOCR 0.x
        ("dbnet_r18_fpnc_1200e_icdar2015", "dbnet_r18_fpnc_1200e_icdar2015"),
        ("dbnet_r18_fpnc_1200e_fp16_icdar2015", "dbnet_r18_fpnc_1200e_icdar2015"),
        ("dbnet_r18_fpnc_100k_iters_synthtext", "dbnet_r18_fpnc_100k_synthtext"),
        ("dbnet_r50dcnv2_fpnc_1200e_icdar2015", "dbnet_r50dcnv2_fpnc_1200e_icdar2015"),
        ("dbnet_r50dcnv2_fpnc_100k_iters_synthtext", "dbnet_r50dcnv2_fpnc_100k_synthtext"),
        ("dbnetpp_r50dcnv2_fpnc_1200e_icdar2015", "dbnetpp_r50dcnv2_fpnc_1200e_icdar2015"),
        ("dbnetpp_r50dcnv2_fpnc_100k_iter_synthtext", "dbnetpp_r50dcnv2_fpnc_100k_synthtext"),
        # aliases of MMOCR 1.x's models
        ("DB_r18", "dbnet_r18_fpnc_1200e_icdar2015"),
        ("DB_r50", "dbnet_r50-oclip_fpnc_1200e_icdar2015"),
        ("DBNet", "dbnet_r50-oclip_fpnc_1200e_icdar2015"),
        ("DBPP_r50", "dbnetpp_r50_fpnc_1200e_icdar2015"),
        ("DBNetpp", "dbnetpp_r50-oclip_fpnc_1200e_icdar2015"),
        # a file of 0.x
        (
            "dbnet_r50dcnv2_fpnc_sbn_1200e_icdar2015_20210325",
            "dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03",
        ),
    ],
)
def test_mmocrs_names_are_names_of_configs(name, config):
    assert find_config(name).stem == config
    assert find_config(f"{name}.py").stem == config


def test_a_file_with_an_aliass_name_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("DB_r18.py").touch()
    assert find_config("DB_r18.py") == Path("DB_r18.py")
    assert find_config("DB_r18").stem == "dbnet_r18_fpnc_1200e_icdar2015"


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(UserError, match="nearest: dbnetpp_r50"):
        find_config("dbnetpp_r50_fpnc_1200e_icdar2051")


# ---- dbnet zoo


def run(capsys, *arguments):
    """Run a command; give its exit status, its output and its errors."""
    status = zoo.main(list(arguments))
    return status, *capsys.readouterr()


def test_list_has_every_model_and_says_whose_figures_these_are(capsys):
    status, output, _ = run(capsys, "list")
    assert status == 0
    lines = output.splitlines()
    listed = lines[1 : lines.index("")]
    assert [line.split()[0] for line in listed] == names_of(read_models())
    (line,) = [line for line in listed if line.startswith("dbnetpp_r50-oclip")]
    assert line.split()[-5:] == ["1024", "0.9174", "0.8609", "0.8882", "-"]
    assert "published by MMOCR" in output and "None was measured" in output


@pytest.mark.parametrize("model", read_models(), ids=names_of(read_models()))
def test_info_prints_commands_that_are_accepted(capsys, model):
    status, output, _ = run(capsys, "info", model.name)
    assert status == 0
    assert model.config.stem in output
    commands = [
        shlex.split(line)[1:]
        for line in output.replace("\\\n", " ").splitlines()
        if line.startswith("  dbnet ")
    ]
    assert commands
    for command, *arguments in commands:
        args = parse(command, arguments)
        config = load_config(args.config, args.cfg_options)
        MODELS.build(dict(type="DBPostprocessor", **_without_type(config.model.postprocessor)))
        if command == "test":
            assert args.checkpoint == model.weights
            assert config.test_dataloader is not None and find_config(args.config) == model.config
        elif model.weights is None:
            assert find_config(args.config) == model.config
        else:
            assert config.load_from == model.weights
            recipe = load_config(str(model.finetune_config))
            if recipe.get("load_from"):
                assert dict(config, load_from=None) == dict(recipe, load_from=None)
            else:
                assert check_finetuning(config, recipe)


def _without_type(settings):
    return {key: value for key, value in settings.items() if key != "type"}


def check_finetuning(config, recipe):
    """A tenth of the learning rate for 100 epochs, with whatever warm-up inside them."""
    tenth = recipe.optim_wrapper.optimizer.lr / 10
    *warmups, decay = config.param_scheduler
    assert config.optim_wrapper.optimizer.lr == pytest.approx(tenth)
    assert config.train_cfg.max_epochs == 100 and config.train_cfg.by_epoch
    assert all(warmup.end == decay.begin == 5 for warmup in warmups)
    return len(warmups) == len(recipe.param_scheduler) - 1


def test_info_knows_aliases_and_hashes(capsys):
    by_name = run(capsys, "info", "dbnet_r50-oclip_fpnc_1200e_icdar2015")
    assert run(capsys, "info", "DBNet") == run(capsys, "info", "bde8c87a") == by_name
    assert "published" in by_name[1] and "None was measured" in by_name[1]


def test_unknown_model_is_one_line_with_the_nearest(capsys):
    status, _, errors = run(capsys, "info", "dbnet_r18_fpnc_1200e_icdar2051")
    assert status == 1
    assert errors.count("\n") == 1
    assert "nearest: dbnet_r18_fpnc_1200e_icdar2015" in errors


@pytest.fixture
def published(server, monkeypatch):  # noqa: F811
    """An index of one model, which a server on this machine has."""
    entry = dict(
        Name="mine",
        Alias=["mine_too"],
        Config="textdet/dbnet/dbnet_r18_fpnc_1200e_icdar2015.py",
        Weights=server.url + HASHED,
        Metadata={"SHA256": hashlib.sha256(CONTENT).hexdigest()[:8], "Test Size": 736},
    )
    models = (model_index._parse(entry, config_folder()),)
    monkeypatch.setattr(model_index, "_read", lambda folder: models)
    return server


def test_download_resumes_and_copies(capsys, published, tmp_path):
    published.cuts = [4000]
    cached = cache_path(published.url + HASHED)
    assert "not downloaded" in run(capsys, "info", "mine")[1]
    status, output, _ = run(capsys, "download", "mine_too", "--out", str(tmp_path / "new/folder"))
    assert status == 0
    assert output.splitlines()[-1] == str(tmp_path / "new/folder" / HASHED)
    assert (tmp_path / "new/folder" / HASHED).read_bytes() == CONTENT == cached.read_bytes()
    assert published.ranges == [None, "bytes=4000-"]
    assert run(capsys, "download", "mine")[1].splitlines()[-1] == str(cached)
    assert len(published.ranges) == 2  # out of the cache
    assert f"{cached} (0.0 MB)" in run(capsys, "info", "mine")[1]
    assert run(capsys, "list")[1].splitlines()[1].endswith("0.0 MB")


@pytest.mark.parametrize("content", [b"other bytes", CONTENT + b"more"])
def test_download_refuses_another_file(capsys, published, tmp_path, content):
    published.content = content
    status, _, errors = run(capsys, "download", "mine", "--out", str(tmp_path / "out"))
    assert status == 1
    assert "its SHA-256 begins with" in errors.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_download_does_not_overwrite(capsys, published, tmp_path):
    (tmp_path / HASHED).write_bytes(b"mine")
    status, _, errors = run(capsys, "download", "mine", "--out", str(tmp_path))
    assert status == 1 and "is there already and differs" in errors.splitlines()[-1]
    assert (tmp_path / HASHED).read_bytes() == b"mine"
    folder = cache_path(published.url + HASHED).parent
    for _ in range(2):  # what is there is that file; also in the cache itself
        status, output, _ = run(capsys, "download", "mine", "--out", str(folder))
        assert (status, output.splitlines()[-1]) == (0, str(folder / HASHED))


def test_a_whole_hash_finds_the_model(capsys, published):
    status, output, _ = run(capsys, "info", hashlib.sha256(CONTENT).hexdigest().upper())
    assert status == 0 and "mine" in output


def test_download_to_a_file_is_one_line(capsys, published, tmp_path):
    (tmp_path / "file").touch()
    status, _, errors = run(capsys, "download", "mine", "--out", str(tmp_path / "file"))
    assert status == 1
    assert errors.splitlines()[-1].startswith(f"error: --out {tmp_path / 'file'}: ")


def test_model_without_a_file(capsys):
    status, _, errors = run(capsys, "download", "dbnet_r50dcnv2_fpnc_100k_synthtext")
    assert status == 1 and "no weights were released" in errors
    output = run(capsys, "info", "dbnet_r50dcnv2_fpnc_100k_synthtext")[1]
    assert output.endswith("train:\n  dbnet train dbnet_r50dcnv2_fpnc_100k_synthtext\n")


def test_a_recipe_needs_nothing_but_the_weights():
    model = find_model("DB_r18")
    assert zoo.finetune_command(model) == [
        "dbnet train dbnet_r18_fpnc_finetune_icdar2015 --data-root MY_DATA --work-dir MY_RUN",
        f"--cfg-options load_from={model.weights}",
    ]


def test_options_of_the_finetuning_command_are_mmengines():
    """The warm-up of DBNet++ would be longer than the run without its two options."""
    model = find_model("DBPP_r50")
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    words = shlex.split(" ".join(zoo.finetune_command(model)))
    options = parser.parse_args(words[words.index("--cfg-options") :]).cfg_options
    assert options == {
        "load_from": model.weights,
        "train_cfg.max_epochs": 100,
        "optim_wrapper.optimizer.lr": 0.0003,
        "param_scheduler.0.end": 5,
        "param_scheduler.1.begin": 5,
    }
