#!/usr/bin/env bash
# Train in several processes: tools/dist_train.sh CONFIG PROCESSES [arguments of train.py]
#
#   tools/dist_train.sh dbnet_r18_fpnc_1200e_icdar2015 4 --amp --resume
#
# PROCESSES: on this machine, one per GPU. If one dies, all are started again, MAX_RESTARTS times at
# most, and with --resume go on from the last checkpoint. Several machines run the same line each,
# with NNODES, how many they are, and MASTER_ADDR and PORT of the first of them.
set -euo pipefail

if (($# < 2)); then
    echo "usage: $0 CONFIG PROCESSES [arguments of train.py]" >&2
    exit 2
fi
if ((${NNODES:-1} == 1)); then
    rendezvous=(--standalone)
else
    rendezvous=(
        --nnodes="$NNODES" --rdzv-backend=c10d
        --rdzv-endpoint="${MASTER_ADDR:?of the first machine}:${PORT:-29500}"
    )
fi
# Otherwise processes that are started again meet in the store of those that died, and wait for them
# for ever (pytorch/pytorch#135712; seen with 2.14 and gloo).
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
exec "${PYTHON:-python}" -m torch.distributed.run "${rendezvous[@]}" --nproc-per-node="$2" \
    --max-restarts="${MAX_RESTARTS:-3}" "$(dirname "$0")/train.py" "$1" --launcher pytorch "${@:3}"
