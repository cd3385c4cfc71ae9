#!/usr/bin/env bash
# Study bloom-ladder, job bloom_176b-none-tydiqa_goldp-s1: 2 stages in one process group.
#   train-tydiqa_goldp-bloom_176b-s1-v1-KEY
#   evaluate-tydiqa_goldp-bloom_176b-s1-v1-KEY
# It reads what these jobs leave in the store: prepare-bloom
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$root/env.sh" # STILTSCALE_PYTHON and STILTSCALE_STORE
# Without it a folder `runtime` where the script is started would be taken for ours.
export PYTHONSAFEPATH=1
export TOKENIZERS_PARALLELISM=false
# It runs on 8 machines: start it on each, with the address and a port of the first, and its rank.
: "${STILTSCALE_ADDRESS:?the address of the first machine}" "${STILTSCALE_PORT:?a free port of it}"
rank="${STILTSCALE_RANK:-${SLURM_NODEID:?or STILTSCALE_RANK: the number of this machine, from 0}}"
# Accelerate turns every failure into 1, so the worker leaves its own exit code here.
STILTSCALE_EXIT_CODE="$(mktemp)"
export STILTSCALE_EXIT_CODE
trap 'rm -f -- "$STILTSCALE_EXIT_CODE"' EXIT
# The worker looks whether this script is still there: stopping the script stops it.
export STILTSCALE_SCRIPT="$$"
code=0
"$STILTSCALE_PYTHON" -m accelerate.commands.launch \
  --config_file "$root/accelerate/bloom_176b-none-tydiqa_goldp-s1.yaml" \
  --quiet \
  --machine_rank "$rank" --rdzv_backend static \
  --main_process_ip "$STILTSCALE_ADDRESS" --main_process_port "$STILTSCALE_PORT" \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STILTSCALE_STORE" --job bloom_176b-none-tydiqa_goldp-s1 || code=$?
own="$(cat -- "$STILTSCALE_EXIT_CODE")"
exit "${own:-$code}" # a worker that was killed has left none
