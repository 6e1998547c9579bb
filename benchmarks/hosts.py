"""Training and testing over hosts that die, as namespaces of one machine; needs root and iproute2.

    python benchmarks/hosts.py --out DIR [--cases same test apart killed cut first join]

Up to three hosts, 10.77.0.1 to .3, each with a network, a host name and, where said, a work folder
of its own, joined by a bridge. Host 1 holds the rendezvous. DBNet_r18 on drawn pictures of 128x128,
a process per host, gloo. Cases:

same    five steps over two hosts, and of two processes of this machine: losses to the last digit
test    `dist_test.sh` over two hosts that share no folder, and in one process: the metrics
apart   two hosts with a work folder each: the warning, and that a restart is refused
killed  host 2 is killed in the middle and started again 20 s later
cut     host 2's link goes down, it is killed, and is started again 20 s later
first   host 1 is killed, and both are started again
join    a third host joins two in the middle (NNODES=2:3)

The logs are DIR/CASE/host*.log. Every picture that a step has used is noted by its process, so that
the last three can count what the weights have seen.
"""

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hosts_case import (
    EPOCHS,
    LENGTH,
    MADE,
    TEST_CONFIG,
    TIMEOUT,
    TOOLS,
    WEIGHTS,
    Case,
    history,
    kill,
    make_hosts,
    remove_hosts,
    sh,
    wait_until,
)

from dbnet.checkpoints.index import config_folder
from dbnet.checkpoints.read import read_checkpoint


def report_seen(case: Case) -> None:
    """Print how often the last weights have seen each picture of each epoch, and the rates."""
    rows = case.rows()
    counts = Counter((row["epoch"], path) for row in history(rows) for path in row["paths"])
    trained = sum(len(row["paths"]) for row in rows)
    print(
        f"  {trained} pictures in all steps, {counts.total()} in the history of the last weights,"
    )
    print(f"  {EPOCHS * LENGTH} in {EPOCHS} epochs of {LENGTH}")
    print(f"  {len(counts)} pairs of epoch and picture, seen {sorted(set(counts.values()))} times")
    for attempt in sorted({row["attempt"] for row in rows}):
        mine = [row for row in rows if row["attempt"] == attempt]
        first, last = (pick(mine, key=lambda row: row["time"]) for pick in (min, max))
        print(
            f"  {attempt}: {first['size']} processes, from epoch {first['epoch'] + 1} iteration "
            f"{first['iter'] + 1} lr {first['lr']:.6g} to epoch {last['epoch'] + 1} iteration "
            f"{last['iter'] + 1} lr {last['lr']:.6g}"
        )


def same(out: Path) -> None:
    found = []
    for name, hosts in (("hosts", (1, 2)), ("local", (0,))):
        case = Case(out / name, epochs=1)
        shorter = ("--cfg-options", "train_dataloader.dataset.length=20")
        started = [case.train(host, *shorter, processes=3 - len(hosts)) for host in hosts]
        print(f"  {name}: exit status {case.finish(*started)}, losses {case.losses()}")
        found.append((case.losses(), official(case, hosts[0]), weights(case.out / "run")))
    print(f"  {found[0][1]}")
    print(f"  losses, validation and weights {'equal' if found[0] == found[1] else 'DIFFER'}")


def weights(work_dir: Path) -> dict:
    state = read_checkpoint(str(work_dir / "epoch_1.pth"))["state_dict"]
    return {name: value.tolist() for name, value in state.items()}


def official(case: Case, host: int) -> str:
    return re.findall(r"^official: .*", case.log(host), re.MULTILINE)[-1]


def test(out: Path) -> None:
    found = []
    for name, hosts in (("hosts", (1, 2)), ("local", (0,))):
        case = Case(out / name)
        config = case.out / "pictures.py"
        config.write_text(TEST_CONFIG.format(configs=config_folder()))
        results, private = case.out / "results.json", case.out / "disk"
        words = (config, WEIGHTS, 1, "--out", results, "--work-dir", "test")
        started = [case.start(h, TOOLS / "dist_test.sh", *words, private=private) for h in hosts]
        print(f"  {name}: exit status {case.finish(*started)}")
        found.append(json.loads(results.read_text()))
    print(f"  {official(case, 0)}")
    print(f"  results.json {'equal' if found[0] == found[1] else 'DIFFER'}")


def apart(out: Path) -> None:
    """Host 1 alone has the checkpoints when both start again."""
    case = Case(out, epochs=2)
    private = out / "run"
    for attempt in ((), ("--resume",)):
        started = [case.train(h, *attempt, private=private) for h in (1, 2)]
        if attempt:
            print(f"  exit status {case.finish(*started)} with --resume")
            continue
        case.finish(*started)
        print(*re.findall(r".*WARNING - (work directory.*)", case.log(1)))
        private.mkdir(exist_ok=True)
    print(*dict.fromkeys(re.findall(r"^error: .*", case.log(1) + case.log(2), re.MULTILINE)))


def lose(out: Path, link: bool) -> None:
    """Lose host 2 after the second epoch; it is back 20 s later."""
    case = Case(out, pause=0.3, timeout=TIMEOUT)
    first, second = case.train(1, "--resume"), case.train(2, "--resume")
    case.wait_for_epoch(2)
    time.sleep(1)
    lost = time.time()
    if link:
        sh("ip", "link", "set", "dbv2", "down")
    kill(second)
    away = 20 if not link else TIMEOUT + 20
    before = case.log(1)
    noticed = wait_until(lambda: "failed" in case.log(1)[len(before) :].lower())
    print(f"  host 1 notices after {noticed - lost:.1f} s")
    time.sleep(max(0, lost + away - time.time()))
    if link:
        sh("ip", "link", "set", "dbv2", "up")
    back = time.time()
    second = case.train(2, "--resume")
    steps = len(case.rows())
    print(f"  host 2 is back after {back - lost:.1f} s, ", end="")
    print(f"steps go on {wait_until(lambda: len(case.rows()) > steps) - back:.1f} s later")
    print(f"  exit status {case.finish(first, second)}, {official(case, 1)}")
    report_seen(case)


def first(out: Path) -> None:
    """Lose host 1, and the rendezvous with it; both are started again when host 2 has ended."""
    case = Case(out, pause=0.3, timeout=TIMEOUT)
    started = [case.train(host, "--resume") for host in (1, 2)]
    case.wait_for_epoch(2)
    lost = time.time()
    kill(started[0])
    (status,) = case.finish(started[1])
    error = [line for line in case.log(2).splitlines() if "Rendezvous" in line][-1]
    print(f"  host 2 ends with status {status} after {time.time() - lost:.0f} s: {error[-160:]}")
    started = [case.train(host, "--resume") for host in (1, 2)]
    print(f"  exit status {case.finish(*started)}, {official(case, 1)}")
    report_seen(case)


def join(out: Path) -> None:
    case = Case(out, pause=0.3, timeout=TIMEOUT)
    started = [case.train(host, "--resume", nodes="2:3") for host in (1, 2)]
    case.wait_for_epoch(2)
    begun = time.time()
    started.append(case.train(3, "--resume", nodes="2:3"))
    joined = wait_until(lambda: any(row["size"] == 3 for row in case.rows()))
    print(f"  the first step of three comes {joined - begun:.1f} s after the third was started")
    print(f"  exit status {case.finish(*started)}")
    report_seen(case)


CASES: dict[str, Callable[[Path], None]] = dict(
    same=same,
    test=test,
    apart=apart,
    killed=lambda out: lose(out, link=False),
    cut=lambda out: lose(out, link=True),
    first=first,
    join=join,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    args = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    remove_hosts()
    make_hosts()
    try:
        for name in args.cases:
            print(f"{name}:", flush=True)
            try:
                CASES[name](args.out.resolve() / name)
            finally:
                for case in MADE:
                    case.end()
    finally:
        remove_hosts()


if __name__ == "__main__":
    main()
