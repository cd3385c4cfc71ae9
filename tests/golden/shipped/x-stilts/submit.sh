#!/usr/bin/env bash
# Submits study x-stilts to Slurm by hand: 321 jobs in 14 arrays. Words given here are passed on to sbatch.
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

# 1-xlmr_large-1gpu: 47 jobs
a1="$(submit --array=0-46 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-xlmr_large-1gpu.sbatch)"
printf 'submitted %s as %s\n' 1-xlmr_large-1gpu "$a1"

# 2-xlmr_large-s1-1gpu: 9 jobs
a2="$(submit --array=0-8 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a1}_4" \
  "$@" slurm/2-xlmr_large-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-s1-1gpu "$a2"

# 2-xlmr_large-s2-1gpu: 9 jobs
a3="$(submit --array=0-8 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a1}_21" \
  "$@" slurm/2-xlmr_large-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-s2-1gpu "$a3"

# 2-xlmr_large-s3-1gpu: 9 jobs
a4="$(submit --array=0-8 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a1}_36" \
  "$@" slurm/2-xlmr_large-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-s3-1gpu "$a4"

# 2-xlmr_large-xnli-1gpu: 27 jobs
a5="$(submit --array=8-16,23-31,38-46 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xlmr_large-xnli-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-xnli-1gpu "$a5"

# 2-xlmr_large-paws_x-1gpu: 27 jobs
a6="$(submit --array=8-16,23-31,38-46 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xlmr_large-paws_x-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-paws_x-1gpu "$a6"

# 2-xlmr_large-udpos-1gpu: 27 jobs
a7="$(submit --array=8-16,23-31,38-46 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xlmr_large-udpos-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-udpos-1gpu "$a7"

# 2-xlmr_large-pan_x-1gpu: 27 jobs
a8="$(submit --array=8-16,23-31,38-46 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xlmr_large-pan_x-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-pan_x-1gpu "$a8"

# 2-xlmr_large-xquad-1gpu: 27 jobs
a9="$(submit --array=8-16,23-31,38-46 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xlmr_large-xquad-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-xquad-1gpu "$a9"

# 2-xlmr_large-tydiqa_goldp-1gpu: 27 jobs
a10="$(submit --array=8-16,23-31,38-46 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xlmr_large-tydiqa_goldp-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-tydiqa_goldp-1gpu "$a10"

# 2-xlmr_large-bucc2018-1gpu: 27 jobs
a11="$(submit --array=8-16,23-31,38-46 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xlmr_large-bucc2018-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-bucc2018-1gpu "$a11"

# 2-xlmr_large-tatoeba-1gpu: 27 jobs
a12="$(submit --array=8-16,23-31,38-46 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xlmr_large-tatoeba-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-tatoeba-1gpu "$a12"

# 3-xlmr_large-mlqa-1gpu: 30 jobs
a13="$(submit --array=0-29 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a9},afterany:${a2}_5,afterany:${a3}_5,afterany:${a4}_5" \
  "$@" slurm/3-xlmr_large-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-xlmr_large-mlqa-1gpu "$a13"
