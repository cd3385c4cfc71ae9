#!/usr/bin/env bash
# Study hub, job ladder_l-s7: 7 stages in one process group.
#   train-topics-ladder_l-s7-v1-10ffe35405
#   evaluate-topics-ladder_l-s7-v1-2d981dbba6
#   retrieve-twins-ladder_l-v1-d869ba4ff2
#   train-pairs-ladder_l-s7-v1-212585b01e
#   train-topics-after_pairs-ladder_l-s7-v1-30a60bf44c
#   evaluate-topics-after_pairs-ladder_l-s7-v1-2f5bc42503
#   retrieve-twins-after_pairs-ladder_l-s7-v1-940f2e37a6
# It reads what these jobs leave in the store: prepare-ladder
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$root/env.sh" # STILTSCALE_PYTHON and STILTSCALE_STORE
# Without it a folder `runtime` where the script is started would be taken for ours.
export PYTHONSAFEPATH=1
export OMP_NUM_THREADS=2
export TOKENIZERS_PARALLELISM=false
# Accelerate turns every failure into 1, so the worker leaves its own exit code here.
STILTSCALE_EXIT_CODE="$(mktemp)"
export STILTSCALE_EXIT_CODE
trap 'rm -f -- "$STILTSCALE_EXIT_CODE"' EXIT
# The worker looks whether this script is still there: stopping the script stops it.
export STILTSCALE_SCRIPT="$$"
code=0
"$STILTSCALE_PYTHON" -m accelerate.commands.launch \
  --config_file "$root/accelerate/ladder_l-s7.yaml" \
  --num_cpu_threads_per_process 2 --quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STILTSCALE_STORE" --job ladder_l-s7 || code=$?
own="$(cat -- "$STILTSCALE_EXIT_CODE")"
exit "${own:-$code}" # a worker that was killed has left none
