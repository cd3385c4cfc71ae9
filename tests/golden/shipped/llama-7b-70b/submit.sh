#!/usr/bin/env bash
# Submits study llama-7b-70b to Slurm by hand: 139 jobs in 15 arrays. Words given here are passed on to sbatch.
# `stiltscale run --engine slurm` submits only what is missing, follows it, and writes the report.
set -euo pipefail
cd -- "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
submit() {
  local id
  id="$(sbatch --parsable "$@")"
  printf '%s\n' "${id%%;*}"
}

# 0-prepare-own-1gpu: 1 jobs
a0="$(submit --array=0 \
  "$@" slurm/0-prepare-own-1gpu.sbatch)"
printf 'submitted %s as %s\n' 0-prepare-own-1gpu "$a0"

# 1-jobs-4x8gpu: 48 jobs
a1="$(submit --array=0-47 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-4x8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-4x8gpu "$a1"

# 2-llama_2_70b-none-mlqa-s1-1gpu: 1 jobs
a2="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a1}_4" \
  "$@" slurm/2-llama_2_70b-none-mlqa-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-none-mlqa-s1-1gpu "$a2"

# 2-llama_2_7b-none-mlqa-s1-1gpu: 1 jobs
a3="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a1}_12" \
  "$@" slurm/2-llama_2_7b-none-mlqa-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-none-mlqa-s1-1gpu "$a3"

# 2-llama_2_70b-none-mlqa-s2-1gpu: 1 jobs
a4="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a1}_20" \
  "$@" slurm/2-llama_2_70b-none-mlqa-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-none-mlqa-s2-1gpu "$a4"

# 2-llama_2_7b-none-mlqa-s2-1gpu: 1 jobs
a5="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a1}_28" \
  "$@" slurm/2-llama_2_7b-none-mlqa-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-none-mlqa-s2-1gpu "$a5"

# 2-llama_2_70b-none-mlqa-s3-1gpu: 1 jobs
a6="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a1}_36" \
  "$@" slurm/2-llama_2_70b-none-mlqa-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-none-mlqa-s3-1gpu "$a6"

# 2-llama_2_7b-none-mlqa-s3-1gpu: 1 jobs
a7="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a1}_44" \
  "$@" slurm/2-llama_2_7b-none-mlqa-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-none-mlqa-s3-1gpu "$a7"

# 2-xnli-4x8gpu: 12 jobs
a8="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xnli-4x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-4x8gpu "$a8"

# 2-xcopa-4x8gpu: 12 jobs
a9="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xcopa-4x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xcopa-4x8gpu "$a9"

# 2-udpos_treebanks-4x8gpu: 12 jobs
a10="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-udpos_treebanks-4x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-udpos_treebanks-4x8gpu "$a10"

# 2-pan_x-4x8gpu: 12 jobs
a11="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-pan_x-4x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-4x8gpu "$a11"

# 2-xquad-4x8gpu: 12 jobs
a12="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xquad-4x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xquad-4x8gpu "$a12"

# 2-tydiqa_goldp-4x8gpu: 12 jobs
a13="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-tydiqa_goldp-4x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-4x8gpu "$a13"

# 3-mlqa-1gpu: 12 jobs
a14="$(submit --array=0-11 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a12}" \
  "$@" slurm/3-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-mlqa-1gpu "$a14"
