"""Jobs that are put back or run out of time in the Slurm of `slurm/setup.sh`; losses to the end.

    benchmarks/slurm/setup.sh && export SLURM_CONF=/tmp/dbnet-slurm/slurm.conf
    python benchmarks/slurm_jobs.py --out DIR [--cases whole requeued time node]
    benchmarks/slurm/teardown.sh

The job of docs/cluster.md on two nodes of one CPU each: `whole` is left alone, `requeued` is put
back by `scontrol requeue` in the middle, `time` runs out of its time; `node` has both
tasks on one node. The logs are DIR/CASE/job.log, one for all that a job does.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch
from hosts_case import EPOCHS, TOOLS, Case, history, wait_until

from dbnet.checkpoints.read import read_checkpoint

JOB = """#!/bin/bash
#SBATCH --nodes={nodes} --ntasks-per-node={tasks} --cpus-per-task=1
#SBATCH --time={minutes} --signal=TERM@60
#SBATCH --requeue --open-mode=append --output={out}/job.log
# Else the first host's name; node1 is none of a machine here.
export MASTER_ADDR=127.0.0.1 PYTHONPATH={out}:{root} OMP_NUM_THREADS=1
srun --kill-on-bad-exit=1 {python} {tools}/train.py {config} \\
    --launcher slurm --resume --work-dir {out}/run
status=$?
if ((status == 143)); then  # stopped by SIGTERM, and saved
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
"""


class Job(NamedTuple):
    """Minutes that it asks for, whether it is put back, nodes and tasks of each."""

    minutes: int
    requeued: bool
    nodes: int = 2
    tasks: int = 1


JOBS = dict(
    whole=Job(10, False),
    requeued=Job(10, True),
    time=Job(3, False),
    node=Job(10, False, nodes=1, tasks=2),
)


def submit(case: Case, job: Job) -> str:
    file = case.out / "job.sbatch"
    names = dict(out=case.out, root=TOOLS.parent, tools=TOOLS, config=case.config)
    file.write_text(JOB.format(python=sys.executable, **job._asdict(), **names))
    command = ["sbatch", "--parsable", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def is_over(job: str) -> bool:
    command = ["squeue", "--noheader", f"--jobs={job}"]
    return not subprocess.run(command, capture_output=True, text=True).stdout.strip()


def run(out: Path, job: Job) -> tuple[list[float], dict[str, torch.Tensor]]:
    case = Case(out, pause=1.5 if job.requeued or job.minutes < 10 else 0)
    start = time.time()
    number = submit(case, job)
    if job.requeued:
        case.wait_for_epoch(2)
        time.sleep(4)
        print(f"  scontrol requeue after {time.time() - start:.0f} s")
        subprocess.run(["scontrol", "requeue", number], check=True)
    wait_until(lambda: is_over(number), seconds=540)
    rows = case.rows()
    for attempt in sorted({row["attempt"] for row in rows}):
        mine = sorted((r["time"], r["epoch"], r["start"]) for r in rows if r["attempt"] == attempt)
        (first, *begin), (last, *end) = mine[0], mine[-1]
        print(f"  {first - start:.0f} to {last - start:.0f} s: epoch, picture {begin} to {end}")
    print(f"  {len(rows)} steps of all, {len(history(rows))} in the history of the last weights")
    return case.losses(), read_checkpoint(str(out / f"run/epoch_{EPOCHS}.pth"))["state_dict"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", nargs="+", choices=JOBS, default=[*JOBS])
    args = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    found = {}
    for name in args.cases:
        print(f"{name}:")
        found[name] = run(args.out.resolve() / name, JOBS[name])
        losses, state = found[name]
        if name == "whole" or "whole" not in found:
            continue
        expected, weights = found["whole"]
        differ = [key for key, value in weights.items() if not torch.equal(state[key], value)]
        statistics = [key for key in differ if ".running_" in key]
        print(f"  losses of {len(losses)} steps {'equal' if losses == expected else 'DIFFER'}")
        print(f"  differ: {len(differ) - len(statistics)} weights, {len(statistics)} statistics")


if __name__ == "__main__":
    main()
