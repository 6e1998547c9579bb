#!/usr/bin/env bash
# A Slurm of one machine, to try jobs: benchmarks/slurm/setup.sh [FOLDER]
#
# As root on Debian, after `apt-get install slurm-wlm munge`. State, logs and key lie in FOLDER,
# /tmp/dbnet-slurm by default; nothing under /etc is changed. The last line that it prints makes
# srun and sbatch use it. Two nodes, `node1` and `node2`, are two slurmd on this machine.
set -euo pipefail

folder=${1:-/tmp/dbnet-slurm}
mkdir -p "$folder"/{state,spool-node1,spool-node2,munge}
chmod 755 "$folder"

# Munge: every message of Slurm is signed with a key, which all machines of a cluster share.
dd if=/dev/urandom of="$folder/munge/key" bs=1024 count=1 status=none
chown -R munge: "$folder/munge"
chmod 400 "$folder/munge/key"
chmod 711 "$folder/munge"
runuser -u munge -- munged --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
    --pid-file="$folder/munge/pid" --log-file="$folder/munge/log" --seed-file="$folder/munge/seed"

# One controller and two nodes. No cgroups, which want systemd: processes are found by their
# parents.
cat >"$folder/slurm.conf" <<CONF
ClusterName=trial
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
# A job that was put back starts again after 2 minutes otherwise.
SchedulerParameters=bf_interval=5,sched_interval=5
NodeName=node1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=16818 CPUs=2
NodeName=node2 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=16819 CPUs=2
PartitionName=all Nodes=ALL Default=YES MaxTime=60 State=UP
CONF

export SLURM_CONF=$folder/slurm.conf
slurmctld
slurmd -N node1
slurmd -N node2
for _ in {1..30}; do
    [[ $(sinfo --noheader --states=idle --format=%D 2>/dev/null) == 2 ]] && break
    sleep 1
done
sinfo
echo "export SLURM_CONF=$SLURM_CONF"
