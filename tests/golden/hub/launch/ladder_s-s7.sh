#!/usr/bin/env bash
# Study hub, job ladder_s-s7: 7 stages in one process group.
#   train-topics-ladder_s-s7-v1-84bb67a182
#   evaluate-topics-ladder_s-s7-v1-73828d95f7
#   retrieve-twins-ladder_s-v1-5468d0b995
#   train-pairs-ladder_s-s7-v1-4b63e7b338
#   train-topics-after_pairs-ladder_s-s7-v1-10cea44660
#   evaluate-topics-after_pairs-ladder_s-s7-v1-534e1537db
#   retrieve-twins-after_pairs-ladder_s-s7-v1-45bfa0a1ef
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
