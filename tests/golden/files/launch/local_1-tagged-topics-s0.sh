#!/usr/bin/env bash
# Study files, job local_1-tagged-topics-s0: 2 stages in one process group.
#   train-topics-after_tagged-local_1-s0-v1-77858cc853
#   evaluate-topics-after_tagged-local_1-s0-v1-24b845c943
# It reads what these jobs leave in the store: local_1-tagged-s0, prepare-local
set -euo pipefail
root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=/dev/null
source "$root/env.sh" # PYTHON and STORE
export TOKENIZERS_PARALLELISM=false
exec "$PYTHON" -m accelerate.commands.launch \
  --config_file "$root/accelerate/local_1-tagged-topics-s0.yaml" \
--quiet \
  --module runtime.worker \
  --plan "$root/plan.json" --store "$STORE" --job local_1-tagged-topics-s0
