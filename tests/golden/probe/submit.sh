#!/usr/bin/env bash
# Submits study golden-probe to Slurm by hand: 6 jobs in 3 arrays. Words given here are passed on to sbatch.
# `stiltscale run --engine slurm` submits only what is missing, follows it, and writes the report.
set -euo pipefail
cd -- "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
submit() {
  local id
  id="$(sbatch --parsable "$@")"
  printf '%s\n' "${id%%;*}"
}

# 0-prepare-ladder-1: 1 jobs
a0="$(submit --array=0 \
  "$@" slurm/0-prepare-ladder-1.sbatch)"
printf 'submitted %s as %s\n' 0-prepare-ladder-1 "$a0"

# 1-jobs-1: 4 jobs
a1="$(submit --array=0-3 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-1.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-1 "$a1"

# 1-ladder_m-s1-probe-2: 1 jobs
a2="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-ladder_m-s1-probe-2.sbatch)"
printf 'submitted %s as %s\n' 1-ladder_m-s1-probe-2 "$a2"
