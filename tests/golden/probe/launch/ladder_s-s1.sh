#!/usr/bin/env bash
# Study golden-probe, job ladder_s-s1: 5 stages in one process group.
#   train-topics-ladder_s-s1-v1-01fb515891
#   evaluate-topics-ladder_s-s1-v1-78acd0addd
#   train-pairs-ladder_s-s1-v1-d140d296c8
#   train-topics-after_pairs-ladder_s-s1-v1-e7d3813f65
#   evaluate-topics-after_pairs-ladder_s-s1-v1-03c41d8e14
# It reads what these jobs leave in the store: prepare-ladder
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
  --config_file "$root/accelerate/ladder_s-s1.yaml" \
  --num_cpu_threads_per_process 1 --quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STILTSCALE_STORE" --job ladder_s-s1 || code=$?
own="$(cat -- "$STILTSCALE_EXIT_CODE")"
exit "${own:-$code}" # a worker that was killed has left none
