#!/usr/bin/env bash
# Study files, job prepare-local: 3 stages in one process group.
#   prepare-notes-v1-d23195289d
#   prepare-topics-v1-be19cc7b75
#   prepare-tags-v1-b63e51a049
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$root/env.sh" # PYTHON and STORE
export TOKENIZERS_PARALLELISM=false
exec "$PYTHON" -m accelerate.commands.launch \
  --config_file "$root/accelerate/prepare-local.yaml" \
--quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STORE" --job prepare-local
