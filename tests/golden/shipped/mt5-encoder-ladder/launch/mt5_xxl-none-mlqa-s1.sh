#!/usr/bin/env bash
# Study mt5-encoder-ladder, job mt5_xxl-none-mlqa-s1: 1 stages in one process group.
#   evaluate-mlqa-mt5_xxl-s1-v1-KEY
# It reads what these jobs leave in the store: mt5_xxl-none-xquad-s1, prepare-mt5_encoder
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$root/env.sh" # STILTSCALE_PYTHON and STILTSCALE_STORE
# Without it a folder `runtime` where the script is started would be taken for ours.
export PYTHONSAFEPATH=1
export TOKENIZERS_PARALLELISM=false
# Accelerate turns every failure into 1, so the worker leaves its own exit code here.
STILTSCALE_EXIT_CODE="$(mktemp)"
export STILTSCALE_EXIT_CODE
trap 'rm -f -- "$STILTSCALE_EXIT_CODE"' EXIT
# The worker looks whether this script is still there: stopping the script stops it.
export STILTSCALE_SCRIPT="$$"
code=0
"$STILTSCALE_PYTHON" -m accelerate.commands.launch \
  --config_file "$root/accelerate/mt5_xxl-none-mlqa-s1.yaml" \
  --quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STILTSCALE_STORE" --job mt5_xxl-none-mlqa-s1 || code=$?
own="$(cat -- "$STILTSCALE_EXIT_CODE")"
exit "${own:-$code}" # a worker that was killed has left none
