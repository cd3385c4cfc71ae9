#!/usr/bin/env bash
# Submits study files to Slurm by hand: 11 jobs in 4 arrays. Words given here are passed on to sbatch.
# `stiltscale run --engine slurm` submits only what is missing, follows it, and writes the report.
set -euo pipefail
cd -- "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
submit() {
  local id
  id="$(sbatch --parsable "$@")"
  printf '%s\n' "${id%%;*}"
}

# 0-prepare-local-1gpu: 1 jobs
a0="$(submit --array=0 \
  "$@" slurm/0-prepare-local-1gpu.sbatch)"
printf 'submitted %s as %s\n' 0-prepare-local-1gpu "$a0"

# 1-s0-1gpu: 6 jobs
a1="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-s0-1gpu.sbatch)"
printf 'submitted %s as %s\n' 1-s0-1gpu "$a1"

# 2-local_2-tagged-s0-1gpu: 2 jobs
a2="$(submit --array=0-1 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a1}_2" \
  "$@" slurm/2-local_2-tagged-s0-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-local_2-tagged-s0-1gpu "$a2"

# 2-local_1-tagged-s0-1gpu: 2 jobs
a3="$(submit --array=0-1 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a1}_5" \
  "$@" slurm/2-local_1-tagged-s0-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-local_1-tagged-s0-1gpu "$a3"
