#!/usr/bin/env bash
# Study hub, job ladder_l-s7: 7 stages in one process group.
#   train-topics-ladder_l-s7-v1-10ffe35405
#   evaluate-topics-ladder_l-s7-v1-2d981dbba6
#   retrieve-twins-ladder_l-v1-e52369e82b
#   train-pairs-ladder_l-s7-v1-212585b01e
#   train-topics-after_pairs-ladder_l-s7-v1-30a60bf44c
#   evaluate-topics-after_pairs-ladder_l-s7-v1-2f5bc42503
#   retrieve-twins-after_pairs-ladder_l-s7-v1-fa719db794
# It reads what these jobs leave in the store: prepare-ladder
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$root/env.sh" # PYTHON and STORE
export OMP_NUM_THREADS=2
export TOKENIZERS_PARALLELISM=false
exec "$PYTHON" -m accelerate.commands.launch \
  --config_file "$root/accelerate/ladder_l-s7.yaml" \
--num_cpu_threads_per_process 2 --quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STORE" --job ladder_l-s7
