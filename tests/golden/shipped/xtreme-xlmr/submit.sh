#!/usr/bin/env bash
# Submits study xtreme-xlmr to Slurm by hand: 777 jobs in 13 arrays. Words given here are passed on to sbatch.
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

# 1-none-s1-1gpu: 8 jobs
a1="$(submit --array=0-7 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-none-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 1-none-s1-1gpu "$a1"

# 1-jobs-2x8gpu: 204 jobs
a2="$(submit --array=0-203 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-2x8gpu "$a2"

# 2-mlqa-1gpu: 24 jobs
a3="$(submit --array=0-23 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}" \
  "$@" slurm/2-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mlqa-1gpu "$a3"

# 2-bucc2018-1gpu: 60 jobs
a4="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101,108-111,118,125-128,135,142-145,152,159-162,169,176-179,186,193-196,203 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-bucc2018-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bucc2018-1gpu "$a4"

# 2-tatoeba-1gpu: 60 jobs
a5="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101,108-111,118,125-128,135,142-145,152,159-162,169,176-179,186,193-196,203 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-tatoeba-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tatoeba-1gpu "$a5"

# 2-xnli-2x8gpu: 60 jobs
a6="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101,108-111,118,125-128,135,142-145,152,159-162,169,176-179,186,193-196,203 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xnli-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-2x8gpu "$a6"

# 2-paws_x-2x8gpu: 60 jobs
a7="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101,108-111,118,125-128,135,142-145,152,159-162,169,176-179,186,193-196,203 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-paws_x-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-paws_x-2x8gpu "$a7"

# 2-udpos-2x8gpu: 60 jobs
a8="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101,108-111,118,125-128,135,142-145,152,159-162,169,176-179,186,193-196,203 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-udpos-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-udpos-2x8gpu "$a8"

# 2-pan_x-2x8gpu: 60 jobs
a9="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101,108-111,118,125-128,135,142-145,152,159-162,169,176-179,186,193-196,203 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-pan_x-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-2x8gpu "$a9"

# 2-xquad-2x8gpu: 60 jobs
a10="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101,108-111,118,125-128,135,142-145,152,159-162,169,176-179,186,193-196,203 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xquad-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xquad-2x8gpu "$a10"

# 2-tydiqa_goldp-2x8gpu: 60 jobs
a11="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101,108-111,118,125-128,135,142-145,152,159-162,169,176-179,186,193-196,203 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-tydiqa_goldp-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-2x8gpu "$a11"

# 3-mlqa-1gpu: 60 jobs
a12="$(submit --array=0-59 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a10}" \
  "$@" slurm/3-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-mlqa-1gpu "$a12"
