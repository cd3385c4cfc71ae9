#!/usr/bin/env bash
# Study files, job local_1-tagged-s0: 1 stages in one process group.
#   train-tags-local_1-s0-v1-77d575c822
# It reads what these jobs leave in the store: prepare-local
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$root/env.sh" # PYTHON and STORE
export TOKENIZERS_PARALLELISM=false
exec "$PYTHON" -m accelerate.commands.launch \
  --config_file "$root/accelerate/local_1-tagged-s0.yaml" \
--quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STORE" --job local_1-tagged-s0
