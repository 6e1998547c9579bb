#!/usr/bin/env bash
# Start a tool in several processes: tools/dist_launch.sh PROCESSES TOOL.py [its arguments]
#
# For dist_train.sh and dist_test.sh. PROCESSES: on this machine, one per GPU. Several machines run
# the same line each, with NNODES, how many they are, and MASTER_ADDR and PORT of the first of them.
# NNODES=2:4 starts with two and takes up to four. See docs/cluster.md.
set -euo pipefail

if [[ ! $1 =~ ^([1-9][0-9]*|gpu|cpu|auto)$ || ! ${NNODES:-1} =~ ^[1-9][0-9]*(:[1-9][0-9]*)?$ ]]; then
    echo "error: PROCESSES=$1 NNODES=${NNODES:-1}: must be numbers, such as 8 and 2 or 2:4" >&2
    exit 2
fi
if [[ ${NNODES:-1} == 1 ]]; then
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
exec "${PYTHON:-python}" -m torch.distributed.run "${rendezvous[@]}" --nproc-per-node="$1" \
    --max-restarts="${MAX_RESTARTS:-3}" "$(dirname "$0")/$2" "${@:3}" --launcher pytorch
