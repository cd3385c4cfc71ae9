#!/usr/bin/env bash
# Study files, job local_1-none-topics-s0: 2 stages in one process group.
#   train-topics-local_1-s0-v1-b31523bd86
#   evaluate-topics-local_1-s0-v1-ae9c98d75c
# It reads what these jobs leave in the store: prepare-local
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$root/env.sh" # PYTHON and STORE
export TOKENIZERS_PARALLELISM=false
exec "$PYTHON" -m accelerate.commands.launch \
  --config_file "$root/accelerate/local_1-none-topics-s0.yaml" \
--quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STORE" --job local_1-none-topics-s0
