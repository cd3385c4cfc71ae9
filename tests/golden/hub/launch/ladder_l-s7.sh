#!/usr/bin/env bash
# Study hub, job ladder_l-s7: 7 stages in one process group.
#   train-topics-ladder_l-s7-v1-d1e1595256
#   evaluate-topics-ladder_l-s7-v1-994cf512b7
#   retrieve-twins-ladder_l-v1-5afabfa5ee
#   train-pairs-ladder_l-s7-v1-6f5136da7c
#   train-topics-after_pairs-ladder_l-s7-v1-6b9cd026da
#   evaluate-topics-after_pairs-ladder_l-s7-v1-79bf96dd77
#   retrieve-twins-after_pairs-ladder_l-s7-v1-5a744e5ebf
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
