#!/usr/bin/env bash
# Study files, job prepare-local: 3 stages in one process group.
#   prepare-notes-v1-30be6aae5e
#   prepare-topics-v1-397fb55f4f
#   prepare-tags-v1-79540f9ca0
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
