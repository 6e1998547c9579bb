"""Train from a folder, a zip, a tar, an HTTP server and an S3 server; compare losses and speed.

    python benchmarks/pictures_anywhere.py --data-root data/icdar2015 --out pictures

needs the prepared training set, `pip install s3fs 'moto[server]'`, and nothing outside of this
machine: both servers are processes of it, on its loopback. From each place DBNet_r18 is trained for
two epochs of `--images` images, crops of 128, with one worker. Then HTTP again from a server that
fails 5 % of the requests and once is dead for 10 s; both without a cache on the disk. All losses
must be equal to the last digit. The loading alone is timed before, one
worker, in rounds in which the places take turns: images per second, and per second of a core, that
is of the processor time of the loading process and its worker, not of the servers. Ratios are
medians of each round's.
"""

import argparse
import functools
import http.server
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CONFIG = """
_base_ = ["{configs}/textdet/dbnet/dbnet_r18_fpnc_100e_icdar2015_scratch.py"]
_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomAffineCrop", size=(128, 128), max_angle=5, min_crop_ratio=0.2),
    dict(type="ColorJitter", brightness=0.1, saturation=0.2),
    dict(type="GenerateDBTargets"),
    dict(type="PackTextDetInputs"),
]
_data = dict(data_root="", ann_file="{annotation}")
train_dataloader = dict(batch_size=16, num_workers=1, dataset=dict(pipeline=_pipeline, **_data))
val_dataloader = dict(num_workers=0, dataset=dict(indices=1, **_data))
train_cfg = dict(max_epochs=2, val_interval=2)
default_hooks = dict(logger=dict(interval=1))
"""
TOOL = Path(__file__).parent.parent / "tools" / "train.py"
BUCKET = "pictures"
Seconds = dict[str, list[tuple[float, float]]]  # wall and processor time, by place
FAILING = 0.05  # of the requests
DEAD_AFTER, DEAD_FOR = 150, 10.0  # requests, seconds
KEYS = dict(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files; of a server with `chance`, some requests fail in one of four ways."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        server: Any = self.server
        server.count += 1
        if server.chance is None or server.chance.random() >= FAILING:
            super().do_GET()
            return
        server.failed += 1
        kind = server.failed % 4
        self.close_connection = True
        if kind < 2:
            self.send_error(503 if kind else 429)
        elif kind == 2:  # half of the body
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])


class Server(http.server.ThreadingHTTPServer):
    """A server that may fail."""

    count = failed = 0
    chance: random.Random | None = None


def serve_http(folder: Path, faulty: bool, link: Any) -> None:
    """Serve a folder for ever; a faulty server closes its port for a while."""
    handler = functools.partial(Handler, directory=str(folder))
    server = Server(("127.0.0.1", 0), handler)
    link.send(server.server_port)
    if not faulty:
        server.serve_forever()
    Server.chance = random.Random(0)
    thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.01))
    thread.start()
    while server.count < DEAD_AFTER:
        time.sleep(0.01)
    server.shutdown()
    server.server_close()
    time.sleep(DEAD_FOR)
    again = Server(("127.0.0.1", server.server_port), handler)
    again.count, again.failed = server.count, server.failed
    link.send((server.count, server.failed))
    threading.Thread(target=again.serve_forever, daemon=True).start()
    link.recv()
    link.send((again.count, again.failed))


def serve_s3(images: list[Path], link: Any) -> None:
    """Serve images by moto's S3."""
    import logging

    import boto3
    from moto.server import ThreadedMotoServer

    os.environ.update(KEYS)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    client.create_bucket(Bucket=BUCKET)
    for path in images:
        client.upload_file(str(path), BUCKET, path.name)
    link.send(port)
    link.recv()


@contextmanager
def running(work: Callable, *arguments: Any) -> Iterator[tuple[int, Any]]:
    """Run a server in a process of its own; yield its port and the link to it."""
    link, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(*arguments, theirs))
    process.start()
    try:
        yield link.recv(), link
    finally:
        process.terminate()
        process.join()


def write_annotation(path: Path, entries: list[dict], place: Callable[[str], str]) -> Path:
    """Write entries whose pictures lie elsewhere."""
    moved = [{**entry, "img_path": place(Path(entry["img_path"]).name)} for entry in entries]
    path.write_text(json.dumps(dict(metainfo={}, data_list=moved)))
    return path


def environment(s3_port: int) -> dict[str, str]:
    """Give a run its keys, the S3 server, and no cache."""
    s3 = f"http://127.0.0.1:{s3_port}"
    return {**os.environ, **KEYS, "AWS_ENDPOINT_URL": s3, "DBNET_CACHE_GB": "0"}


def train(annotation: Path, s3_port: int) -> tuple[list[dict], float]:
    """Train; return the losses of all steps and the seconds it took, and print its warnings."""
    from dbnet.checkpoints.index import config_folder

    config, work_dir = annotation.with_suffix(".py"), annotation.with_suffix("")
    config.write_text(CONFIG.format(configs=config_folder(), annotation=annotation))
    start = time.perf_counter()
    command = [sys.executable, str(TOOL), str(config), "--work-dir", str(work_dir)]
    run = subprocess.run(command, env=environment(s3_port), capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if run.returncode:
        raise SystemExit(f"{annotation.stem}: {run.stderr[-3000:]}")
    for line in run.stdout.splitlines():
        if "trying again" in line:
            print(f"    {line.strip()}")
    (log,) = work_dir.glob("*/vis_data/scalars.json")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    kept = [{key: row[key] for key in row if "loss" in key} for row in rows]
    return [row for row in kept if row], seconds


def load_epochs(annotation: Path, link: Any) -> None:
    """Load all samples once, by one worker, for each number that arrives; send the seconds."""
    import torch
    from data_path import cpu_seconds
    from mmengine.registry import init_default_scope
    from torch.utils.data import DataLoader

    from dbnet.checkpoints.index import config_folder
    from dbnet.config.load import load_config
    from dbnet.datasets import EpochKeySampler, collate_text_det
    from dbnet.registry import DATASETS

    config = annotation.with_suffix(".load.py")
    config.write_text(CONFIG.format(configs=config_folder(), annotation=annotation))
    torch.set_num_threads(1)
    init_default_scope("dbnet")
    loaded = load_config(str(config))
    dataset = DATASETS.build(loaded.train_dataloader.dataset)
    sampler = EpochKeySampler(dataset, seed=0)
    settings: dict = dict(num_workers=1, persistent_workers=True, collate_fn=collate_text_det)
    loader = DataLoader(dataset, batch_size=16, sampler=sampler, **settings)
    for number in iter(link.recv, None):
        sampler.set_epoch(number)
        wall, core = time.perf_counter(), cpu_seconds()
        for _ in loader:
            pass
        link.send((time.perf_counter() - wall, cpu_seconds() - core))


def time_loading(annotations: dict[str, Path], s3_port: int, rounds: int) -> Seconds:
    """Time the loading from each place in each round, after one that starts workers."""
    os.environ.update(environment(s3_port))
    context = multiprocessing.get_context("spawn")
    links, processes = {}, []
    for name, annotation in annotations.items():
        if name.endswith("cached"):
            os.environ.update(DBNET_CACHE_GB="1", DBNET_CACHE=str(annotation.parent / "cache"))
        links[name], theirs = multiprocessing.Pipe()
        processes.append(context.Process(target=load_epochs, args=(annotation, theirs)))
        processes[-1].start()
    seconds: Seconds = {name: [] for name in links}
    for number in range(rounds + 1):
        for name, link in links.items():
            link.send(number)
            seconds[name].append(link.recv())
    for link, process in zip(links.values(), processes):
        link.send(None)
        process.join()
    return {name: values[1:] for name, values in seconds.items()}


def pack(folder: Path, images: list[Path]) -> None:
    """Write the images as a zip and a tar, as they are."""
    with (
        zipfile.ZipFile(folder / "all.zip", "w") as zipped,
        tarfile.open(folder / "all.tar", "w") as tar,
    ):
        for path in images:
            zipped.write(path, path.name)
            tar.add(path, path.name)


def report_loading(seconds: Seconds, count: int) -> None:
    """Print the table of the loading."""
    print("loading alone, one worker   images/s  of the folder's  per core  of the folder's")
    for name, values in seconds.items():
        row = []
        for kind in range(2):
            rate = count / statistics.median(value[kind] for value in values)
            ratios = [own[kind] / value[kind] for own, value in zip(seconds["folder"], values)]
            row.append(f"{rate:10.1f} {statistics.median(ratios):16.2f}")
        print(f"{name:26}{'  '.join(row)}", flush=True)


def report_training(annotations: dict[str, Path], s3_port: int) -> list[dict]:
    """Train from each place and print whether the losses are equal; return those of the folder."""
    expected: list[dict] = []
    for name, annotation in annotations.items():
        losses, seconds = train(annotation, s3_port)
        expected = expected or losses
        print(
            f"{name:12}{len(losses)} steps, {seconds:.0f} s, last loss {losses[-1]['loss']!r}, "
            f"all losses equal: {losses == expected}",
            flush=True,
        )
    return expected


def main() -> None:
    parser = argparse.ArgumentParser(description="Train from everywhere.")
    parser.add_argument("--data-root", type=Path, default=Path("data/icdar2015"), help="folder")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    out = args.out.resolve()
    content = json.loads((args.data_root / "textdet_train.json").read_text())
    entries = content["data_list"][: args.images]
    images = [(args.data_root / entry["img_path"]).resolve() for entry in entries]
    pack(out, images)
    folder = images[0].parent
    write = functools.partial(write_annotation, entries=entries)
    http_server, s3_server = running(serve_http, folder, False), running(serve_s3, images)
    with http_server as (port, _), s3_server as (s3_port, _):
        web = f"http://127.0.0.1:{port}"
        places: dict[str, Callable[[str], str]] = {
            "folder": lambda name: str(folder / name),
            "zip": lambda name: f"zip://{name}::{out}/all.zip",
            "tar": lambda name: f"tar://{name}::{out}/all.tar",
            "http": lambda name: f"{web}/{name}",
            "s3": lambda name: f"s3://{BUCKET}/{name}",
        }
        paths = {name: write(out / f"{name}.json", place=place) for name, place in places.items()}
        cached = {"s3, cached": write(out / "s3_cached.json", place=places["s3"])}
        report_loading(time_loading({**paths, **cached}, s3_port, args.rounds), len(images))
        expected = report_training(paths, s3_port)
        with running(serve_http, folder, True) as (bad_port, link):
            bad = f"http://127.0.0.1:{bad_port}"
            losses, seconds = train(
                write(out / "faulty.json", place=lambda n: f"{bad}/{n}"), s3_port
            )
            before = link.recv()
            link.send(None)
            count, failed = link.recv()
        print(
            f"faulty http: {count} requests, {failed} failed, dead for {DEAD_FOR:g} s after "
            f"{before[0]}; {seconds:.0f} s, all losses equal: {losses == expected}"
        )


if __name__ == "__main__":
    main()
