#!/usr/bin/env bash
# Study hub, job ladder_s-s7: 7 stages in one process group.
#   train-topics-ladder_s-s7-v1-56cc04f042
#   evaluate-topics-ladder_s-s7-v1-4cc5e71401
#   retrieve-twins-ladder_s-v1-1415923958
#   train-pairs-ladder_s-s7-v1-c8323d406b
#   train-topics-after_pairs-ladder_s-s7-v1-dda3939842
#   evaluate-topics-after_pairs-ladder_s-s7-v1-81fc324666
#   retrieve-twins-after_pairs-ladder_s-s7-v1-b59370824b
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
  --config_file "$root/accelerate/ladder_s-s7.yaml" \
  --num_cpu_threads_per_process 2 --quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STILTSCALE_STORE" --job ladder_s-s7 || code=$?
own="$(cat -- "$STILTSCALE_EXIT_CODE")"
exit "${own:-$code}" # a worker that was killed has left none
