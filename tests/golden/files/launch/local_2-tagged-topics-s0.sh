#!/usr/bin/env bash
# Study files, job local_2-tagged-topics-s0: 2 stages in one process group.
#   train-topics-after_tagged-local_2-s0-v1-cf49d17d57
#   evaluate-topics-after_tagged-local_2-s0-v1-bdd9cba7e9
# It reads what these jobs leave in the store: local_2-tagged-s0, prepare-local
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$root/env.sh" # PYTHON and STORE
export TOKENIZERS_PARALLELISM=false
exec "$PYTHON" -m accelerate.commands.launch \
  --config_file "$root/accelerate/local_2-tagged-topics-s0.yaml" \
--quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STORE" --job local_2-tagged-topics-s0
