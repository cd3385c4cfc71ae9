#!/usr/bin/env bash
# Study e5-depth, job prepare-e5_depth: 5 stages in one process group.
#   prepare-intent_slots-v1-KEY
#   prepare-intents-v1-KEY
#   prepare-emoji_category-v1-KEY
#   prepare-emoji_names-v1-KEY
#   prepare-intent_pairs-v1-KEY
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$root/env.sh" # STILTSCALE_PYTHON and STILTSCALE_STORE
# Without it a folder `runtime` where the script is started would be taken for ours.
export PYTHONSAFEPATH=1
export OMP_NUM_THREADS=1
export TOKENIZERS_PARALLELISM=false
# Accelerate turns every failure into 1, so the worker leaves its own exit code here.
STILTSCALE_EXIT_CODE="$(mktemp)"
export STILTSCALE_EXIT_CODE
trap 'rm -f -- "$STILTSCALE_EXIT_CODE"' EXIT
# The worker looks whether this script is still there: stopping the script stops it.
export STILTSCALE_SCRIPT="$$"
code=0
"$STILTSCALE_PYTHON" -m accelerate.commands.launch \
  --config_file "$root/accelerate/prepare-e5_depth.yaml" \
  --num_cpu_threads_per_process 1 --quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STILTSCALE_STORE" --job prepare-e5_depth || code=$?
own="$(cat -- "$STILTSCALE_EXIT_CODE")"
exit "${own:-$code}" # a worker that was killed has left none
