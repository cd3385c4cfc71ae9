#!/usr/bin/env bash
# Study x-stilts, job prepare-xlm_r: 21 stages in one process group.
#   prepare-xnli-v1-KEY
#   prepare-paws_x-v1-KEY
#   prepare-udpos-v1-KEY
#   prepare-pan_x-v1-KEY
#   prepare-squad_v1-v1-KEY
#   prepare-xquad-v1-KEY
#   prepare-mlqa-v1-KEY
#   prepare-tydiqa_goldp-v1-KEY
#   prepare-bucc2018-v1-KEY
#   prepare-tatoeba-v1-KEY
#   prepare-anli-v1-KEY
#   prepare-mnli-v1-KEY
#   prepare-snli-v1-KEY
#   prepare-qqp-v1-KEY
#   prepare-squad_v2-v1-KEY
#   prepare-hellaswag-v1-KEY
#   prepare-ccg-v1-KEY
#   prepare-cosmos_qa-v1-KEY
#   prepare-commonsense_qa-v1-KEY
#   prepare-squad_v1-v1-KEY
#   prepare-squad_v2-v1-KEY
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
  --config_file "$root/accelerate/prepare-xlm_r.yaml" \
  --quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STILTSCALE_STORE" --job prepare-xlm_r || code=$?
own="$(cat -- "$STILTSCALE_EXIT_CODE")"
exit "${own:-$code}" # a worker that was killed has left none
