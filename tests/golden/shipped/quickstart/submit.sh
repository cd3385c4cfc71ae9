#!/usr/bin/env bash
# Submits study quickstart to Slurm by hand: 10 jobs in 2 arrays. Words given here are passed on to sbatch.
# `stiltscale run --engine slurm` submits only what is missing, follows it, and writes the report.
set -euo pipefail
cd -- "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
submit() {
  local id
  id="$(sbatch --parsable "$@")"
  printf '%s\n' "${id%%;*}"
}

# 0-prepare-e5_depth-1: 1 jobs
a0="$(submit --array=0 \
  "$@" slurm/0-prepare-e5_depth-1.sbatch)"
printf 'submitted %s as %s\n' 0-prepare-e5_depth-1 "$a0"

# 1-jobs-1: 9 jobs
a1="$(submit --array=0-8 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-1.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-1 "$a1"
