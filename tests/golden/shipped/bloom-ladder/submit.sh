#!/usr/bin/env bash
# Submits study bloom-ladder to Slurm by hand: 415 jobs in 10 arrays. Words given here are passed on to sbatch.
# `stiltscale run --engine slurm` submits only what is missing, follows it, and writes the report.
set -euo pipefail
cd -- "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
submit() {
  local id
  id="$(sbatch --parsable "$@")"
  printf '%s\n' "${id%%;*}"
}

# 0-prepare-bloom-1gpu: 1 jobs
a0="$(submit --array=0 \
  "$@" slurm/0-prepare-bloom-1gpu.sbatch)"
printf 'submitted %s as %s\n' 0-prepare-bloom-1gpu "$a0"

# 1-jobs-8x8gpu: 144 jobs
a1="$(submit --array=0-143 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8x8gpu "$a1"

# 2-none-mlqa-1gpu: 18 jobs
a2="$(submit --array=0-17 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a1}" \
  "$@" slurm/2-none-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-none-mlqa-1gpu "$a2"

# 2-xnli-8x8gpu: 36 jobs
a3="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47,54-55,62-63,70-71,78-79,86-87,94-95,102-103,110-111,118-119,126-127,134-135,142-143 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xnli-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-8x8gpu "$a3"

# 2-paws_x-8x8gpu: 36 jobs
a4="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47,54-55,62-63,70-71,78-79,86-87,94-95,102-103,110-111,118-119,126-127,134-135,142-143 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-paws_x-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-paws_x-8x8gpu "$a4"

# 2-udpos-8x8gpu: 36 jobs
a5="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47,54-55,62-63,70-71,78-79,86-87,94-95,102-103,110-111,118-119,126-127,134-135,142-143 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-udpos-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-udpos-8x8gpu "$a5"

# 2-pan_x-8x8gpu: 36 jobs
a6="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47,54-55,62-63,70-71,78-79,86-87,94-95,102-103,110-111,118-119,126-127,134-135,142-143 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-pan_x-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-8x8gpu "$a6"

# 2-xquad-8x8gpu: 36 jobs
a7="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47,54-55,62-63,70-71,78-79,86-87,94-95,102-103,110-111,118-119,126-127,134-135,142-143 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xquad-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xquad-8x8gpu "$a7"

# 2-tydiqa_goldp-8x8gpu: 36 jobs
a8="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47,54-55,62-63,70-71,78-79,86-87,94-95,102-103,110-111,118-119,126-127,134-135,142-143 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-tydiqa_goldp-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-8x8gpu "$a8"

# 3-mlqa-1gpu: 36 jobs
a9="$(submit --array=0-35 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a7}" \
  "$@" slurm/3-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-mlqa-1gpu "$a9"
