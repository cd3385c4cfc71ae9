#!/usr/bin/env bash
# Submits study scratch to Slurm by hand: 13 jobs in 6 arrays. Words given here are passed on to sbatch.
# `stiltscale run --engine slurm` submits only what is missing, follows it, and writes the report.
set -euo pipefail
cd -- "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
submit() {
  local id
  id="$(sbatch --parsable "$@")"
  printf '%s\n' "${id%%;*}"
}

# 0-prepare-made-1: 1 jobs
a0="$(submit --array=0 \
  "$@" slurm/0-prepare-made-1.sbatch)"
printf 'submitted %s as %s\n' 0-prepare-made-1 "$a0"

# 1-pretrain-1: 2 jobs
a1="$(submit --array=0-1 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-pretrain-1.sbatch)"
printf 'submitted %s as %s\n' 1-pretrain-1 "$a1"

# 2-made_2-s7-1: 3 jobs
a2="$(submit --array=0-2 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a1}_0" \
  "$@" slurm/2-made_2-s7-1.sbatch)"
printf 'submitted %s as %s\n' 2-made_2-s7-1 "$a2"

# 2-made_1-s7-1: 3 jobs
a3="$(submit --array=0-2 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a1}_1" \
  "$@" slurm/2-made_1-s7-1.sbatch)"
printf 'submitted %s as %s\n' 2-made_1-s7-1 "$a3"

# 3-made_2-kept-s7-1: 2 jobs
a4="$(submit --array=0-1 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a2}_2" \
  "$@" slurm/3-made_2-kept-s7-1.sbatch)"
printf 'submitted %s as %s\n' 3-made_2-kept-s7-1 "$a4"

# 3-made_1-kept-s7-1: 2 jobs
a5="$(submit --array=0-1 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a3}_2" \
  "$@" slurm/3-made_1-kept-s7-1.sbatch)"
printf 'submitted %s as %s\n' 3-made_1-kept-s7-1 "$a5"
