#!/usr/bin/env bash
# Study hub, job ladder_s-s7: 7 stages in one process group.
#   train-topics-ladder_s-s7-v1-56cc04f042
#   evaluate-topics-ladder_s-s7-v1-4cc5e71401
#   retrieve-twins-ladder_s-v1-f4752b7442
#   train-pairs-ladder_s-s7-v1-c8323d406b
#   train-topics-after_pairs-ladder_s-s7-v1-dda3939842
#   evaluate-topics-after_pairs-ladder_s-s7-v1-81fc324666
#   retrieve-twins-after_pairs-ladder_s-s7-v1-cc4160d9a1
# It reads what these jobs leave in the store: prepare-ladder
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$root/env.sh" # PYTHON and STORE
export OMP_NUM_THREADS=2
export TOKENIZERS_PARALLELISM=false
exec "$PYTHON" -m accelerate.commands.launch \
  --config_file "$root/accelerate/ladder_s-s7.yaml" \
--num_cpu_threads_per_process 2 --quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STORE" --job ladder_s-s7
