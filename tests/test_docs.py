"""What the documents print works: the worked example, links, and the command-line reference."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dbnet.cli import main as console
from dbnet.cli.options import parse
from dbnet.config.load import load_config

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page, language):
    """Code blocks of a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse words its help anew")
def test_the_command_line_reference_is_up_to_date():
    spec = importlib.util.spec_from_file_location("g", ROOT / "docs/generate_command_line.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    expected = module.TARGET.read_text(encoding="utf-8")
    assert module.reference() == expected, "run python docs/generate_command_line.py"
    assert all(f"## dbnet {command}\n" in expected for command in console.COMMANDS)


def often_wanted():
    """Pieces of configs under "Often wanted", each with the comment above it."""
    (code,) = (b for b in blocks(ROOT / "docs/configs.md", "python") if "EMAHook" in b)
    return re.split(r"\n(?=# )", code.rstrip())


@pytest.mark.parametrize("piece", often_wanted(), ids=lambda piece: piece.splitlines()[0][2:40])
def test_what_is_often_wanted_loads(tmp_path, piece):
    base = ROOT / "configs/textdet/dbnet/dbnet_r18_fpnc_1200e_icdar2015.py"
    (tmp_path / "mine.py").write_text(f"_base_ = [{str(base)!r}]\n{piece}\n")
    config = load_config(str(tmp_path / "mine.py"))
    assert config.pretty_text != load_config(str(base)).pretty_text


JOBS = [code for code in blocks(ROOT / "docs/cluster.md", "bash") if "srun" in code]
LAUNCHES = [code for code in blocks(ROOT / "docs/cluster.md", "bash") if "dist_" in code]


@pytest.mark.parametrize("code", JOBS, ids=lambda code: code.splitlines()[0])
def test_jobs_for_slurm_parse(code):
    assert subprocess.run(["bash", "-n"], input=code, text=True).returncode == 0
    (words,) = (shlex.split(line) for line in joined(code) if line.startswith("srun"))
    if "dbnet" in words:
        command, *rest = words[words.index("dbnet") + 1 :]
    else:
        script, *rest = words[words.index("python") + 1 :]
        command = Path(script).stem
    args = parse(command, rest)
    load_config(args.config, args.cfg_options)
    many = "--ntasks=1" not in code
    assert (args.launcher == "slurm") == many
    if command == "train":
        assert args.resume == "auto" and "--signal=TERM" in code and "#SBATCH --requeue" in code


def joined(code):
    return code.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("line", [line for code in LAUNCHES for line in joined(code)])
def test_lines_for_several_hosts_parse(line):
    echoed = {**os.environ, "PYTHON": "echo"}
    done = subprocess.run(line, shell=True, cwd=ROOT, env=echoed, capture_output=True, text=True)
    words = done.stdout.split()
    tool = next(index for index, word in enumerate(words) if word.endswith(".py"))
    args = parse(Path(words[tool]).stem, words[tool + 1 :])
    assert "--nnodes=2" in words and args.launcher == "pytorch"
    load_config(args.config, getattr(args, "cfg_options", None))


@pytest.mark.slow
def test_add_a_part_as_printed(tmp_path, monkeypatch, capsys):
    page = ROOT / "docs/add_a_part.md"
    for code in blocks(page, "python"):
        (tmp_path / code.splitlines()[0].removeprefix("# ")).write_text(code)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    info, train = (shlex.split(line) for line in blocks(page, "bash")[0].splitlines())
    shorter = (
        "train_cfg.max_iters=2 train_cfg.val_interval=2 train_dataloader.batch_size=2 "
        "train_dataloader.num_workers=0 val_dataloader.num_workers=0 "
        "val_dataloader.dataset.length=2 param_scheduler.0.end=1 param_scheduler.1.begin=1"
    )
    for words in (info, [*train, "--cfg-options", *shorter.split()]):
        monkeypatch.setattr(sys, "argv", words)
        assert console.main() == 0
    output = capsys.readouterr().out
    assert "official: precision" in output
    assert list((tmp_path / "work_dirs/dbnet_mobilenetv3_quickstart").glob("iter_2.pth"))
