#!/usr/bin/env bash
# Submits study xnli-hub to Slurm by hand: 31 jobs in 4 arrays. Words given here are passed on to sbatch.
# `stiltscale run --engine slurm` submits only what is missing, follows it, and writes the report.
set -euo pipefail
cd -- "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
submit() {
  local id
  id="$(sbatch --parsable "$@")"
  printf '%s\n' "${id%%;*}"
}

# 0-prepare-xlm_r-1gpu: 1 jobs
a0="$(submit --array=0 \
  "$@" slurm/0-prepare-xlm_r-1gpu.sbatch)"
printf 'submitted %s as %s\n' 0-prepare-xlm_r-1gpu "$a0"

# 1-jobs-1gpu: 18 jobs
a1="$(submit --array=0-17 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-1gpu.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-1gpu "$a1"

# 2-mnli-paws_x-1gpu: 6 jobs
a2="$(submit --array=2,5,8,11,14,17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-mnli-paws_x-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mnli-paws_x-1gpu "$a2"

# 2-mnli-xnli-1gpu: 6 jobs
a3="$(submit --array=2,5,8,11,14,17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-mnli-xnli-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mnli-xnli-1gpu "$a3"
