#!/usr/bin/env bash
# Study hub, job prepare-ladder: 6 stages in one process group.
#   prepare-topics-v1-a93eef96c2
#   prepare-twins-v1-8003fac094
#   prepare-pairs-v1-f66cc073cb
#   prepare-topics-v1-343236f75f
#   prepare-twins-v1-9eacd85550
#   prepare-pairs-v1-42ff4c79db
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
