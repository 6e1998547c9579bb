#!/usr/bin/env bash
# Test in several processes: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of test.py]
#
#   tools/dist_test.sh dbnet_r18_fpnc_1200e_icdar2015 epoch_1200.pth 4 --out results.json
#
# PROCESSES: on this machine, one per GPU. The metrics are those of one process.
set -euo pipefail

if (($# < 3)); then
    echo "usage: $0 CONFIG CHECKPOINT PROCESSES [arguments of test.py]" >&2
    exit 2
fi
exec "${PYTHON:-python}" -m torch.distributed.run --standalone --nproc-per-node="$3" \
    "$(dirname "$0")/test.py" "$1" "$2" --launcher pytorch "${@:4}"
