"""`dbnet infer` with Ray against the same without: images per second, and what deaths cost.

python benchmarks/ray_inference.py IMAGES... --count 2000 --kills 5 --out D

Three runs of the same images, one after the other: in one process, by Ray's actors, and by Ray's
actors of which one is killed (SIGKILL) at each of so many moments. Each result must hold each
image once, with the same texts. Needs the extra [ray], Linux and nothing else on the machine.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from dbnet.images import find_images

DBNET = [sys.executable, "-c", "from dbnet.cli.main import main; raise SystemExit(main())"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", help="files or folders")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--test-size", default="736,416")
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    names = sample(args.images, args.count, args.out / "images")
    common = [str(names), "--test-size", args.test_size, "--device", "cpu", "--format", "jsonl"]
    by_ray = [*common, "--ray", "auto", "--actors", str(args.actors)]
    found = {}
    for name, command, kills in (
        ("plain", common, 0),
        ("ray", by_ray, 0),
        ("ray, killed", by_ray, args.kills),
    ):
        folder = args.out / name.replace(", ", "-")
        seconds, killed = run([*command, "--out", str(folder)], folder, kills)
        found[name] = read(folder)
        row = dict(run=name, images=len(found[name]), seconds=round(seconds, 1), killed=killed)
        print(json.dumps({**row, "per_second": round(len(found[name]) / seconds, 2)}), flush=True)
    assert found["plain"] == found["ray"] == found["ray, killed"]
    print(f"each of {len(found['plain'])} images once in each, with the same texts")


def sample(sources: list[str], count: int, folder: Path) -> Path:
    """Link the first `count` images, over and over again if there are fewer."""
    folder.mkdir()
    images = find_images(sources)
    for index in range(count):
        source = Path(images[index % len(images)]).resolve()
        (folder / f"{index:06d}{source.suffix}").symlink_to(source)
    return folder


def run(command: list[str], folder: Path, kills: int) -> tuple[float, int]:
    """Run `dbnet infer`, and kill actors at random moments; return seconds and deaths."""
    start = time.monotonic()
    process = subprocess.Popen([*DBNET, "infer", *command], stdout=subprocess.DEVNULL)
    deaths: list[int] = []
    killer = threading.Thread(target=kill, args=(process, folder, kills, deaths))
    killer.start()
    status = process.wait()
    killer.join()
    assert status == 0, status
    return time.monotonic() - start, len(deaths)


def kill(process: subprocess.Popen, folder: Path, kills: int, deaths: list[int]) -> None:
    """Kill one actor after each of some parts, chosen at random."""
    rng = random.Random(0)
    while len(deaths) < kills and process.poll() is None:
        before = len(list(folder.glob("part-*")))
        time.sleep(rng.uniform(2, 8))
        actors = [pid for pid, name in processes() if name.startswith("ray::") and "Map" in name]
        if actors and (before or not deaths):
            victim = rng.choice(actors)
            subprocess.run(["kill", f"-{int(signal.SIGKILL)}", str(victim)], check=False)
            deaths.append(victim)
            print(f"killed {victim} of {actors}", file=sys.stderr, flush=True)
            time.sleep(5)


def processes() -> list[tuple[int, str]]:
    """List the processes of this machine, with the names that they give themselves."""
    lines = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout
    pairs = (line.split(maxsplit=1) for line in lines.splitlines()[1:])
    return [(int(pid), name) for pid, name in pairs]


def read(folder: Path) -> dict[str, list]:
    """Read all parts; no image may be there twice."""
    rows = [
        json.loads(line)
        for path in sorted(folder.glob("part-*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    twice = [name for name, times in Counter(row["img_path"] for row in rows).items() if times > 1]
    assert not twice, twice[:3]
    return {row["img_path"]: row["polygons"] for row in sorted(rows, key=lambda r: r["img_path"])}


if __name__ == "__main__":
    main()
