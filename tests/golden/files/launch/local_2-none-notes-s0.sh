#!/usr/bin/env bash
# Study files, job local_2-none-notes-s0: 2 stages in one process group.
#   train-notes-local_2-s0-v1-c0e5c624d8
#   evaluate-notes-local_2-s0-v1-43f43a8d6a
# It reads what these jobs leave in the store: prepare-local
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$root/env.sh" # PYTHON and STORE
export TOKENIZERS_PARALLELISM=false
exec "$PYTHON" -m accelerate.commands.launch \
  --config_file "$root/accelerate/local_2-none-notes-s0.yaml" \
--quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STORE" --job local_2-none-notes-s0
