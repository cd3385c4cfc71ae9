#!/usr/bin/env bash
# Study hub, job prepare-ladder: 6 stages in one process group.
#   prepare-topics-v1-1af23e67b8
#   prepare-twins-v1-eb299a1de2
#   prepare-pairs-v1-03e6efef9b
#   prepare-topics-v1-ae7f55687d
#   prepare-twins-v1-52287048ed
#   prepare-pairs-v1-50ca280e71
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$root/env.sh" # PYTHON and STORE
export OMP_NUM_THREADS=2
export TOKENIZERS_PARALLELISM=false
exec "$PYTHON" -m accelerate.commands.launch \
  --config_file "$root/accelerate/prepare-ladder.yaml" \
--num_cpu_threads_per_process 2 --quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STORE" --job prepare-ladder
