#!/usr/bin/env bash
# Test in several processes: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of test.py]
#
#   tools/dist_test.sh dbnet_r18_fpnc_1200e_icdar2015 epoch_1200.pth 4 --out results.json
#
# PROCESSES: on this machine, one per GPU. The metrics are those of one process. For several machines
# see dist_launch.sh.
set -euo pipefail

if (($# < 3)); then
    echo "usage: $0 CONFIG CHECKPOINT PROCESSES [arguments of test.py]" >&2
    exit 2
fi
MAX_RESTARTS=0 exec "$(dirname "$0")/dist_launch.sh" "$3" test.py "$1" "$2" "${@:4}"
