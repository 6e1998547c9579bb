#!/usr/bin/env bash
# Train in several processes: tools/dist_train.sh CONFIG PROCESSES [arguments of train.py]
#
#   tools/dist_train.sh dbnet_r18_fpnc_1200e_icdar2015 4 --amp --resume
#
# PROCESSES: on this machine, one per GPU. If one dies, all are started again, MAX_RESTARTS times at
# most, and with --resume go on from the last checkpoint. For several machines see dist_launch.sh.
set -euo pipefail

if (($# < 2)); then
    echo "usage: $0 CONFIG PROCESSES [arguments of train.py]" >&2
    exit 2
fi
exec "$(dirname "$0")/dist_launch.sh" "$2" train.py "$1" "${@:3}"
