#!/usr/bin/env bash
# End what setup.sh has started and remove its folder: benchmarks/slurm/teardown.sh [FOLDER]
set -uo pipefail

folder=${1:-/tmp/dbnet-slurm}
export SLURM_CONF=$folder/slurm.conf
scancel --full --user=root --signal=KILL --quiet
sleep 10  # so that the jobs' processes end before the nodes do
for pid in "$folder"/{slurmd-node1.pid,slurmd-node2.pid,slurmctld.pid,munge/pid}; do
    [[ -f $pid ]] && kill "$(cat "$pid")"
done
sleep 3
rm -rf "$folder"
