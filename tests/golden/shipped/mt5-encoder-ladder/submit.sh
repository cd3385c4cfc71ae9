#!/usr/bin/env bash
# Submits study mt5-encoder-ladder to Slurm by hand: 566 jobs in 13 arrays. Words given here are passed on to sbatch.
# `stiltscale run --engine slurm` submits only what is missing, follows it, and writes the report.
set -euo pipefail
cd -- "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
submit() {
  local id
  id="$(sbatch --parsable "$@")"
  printf '%s\n' "${id%%;*}"
}

# 0-prepare-mt5_encoder-1gpu: 1 jobs
a0="$(submit --array=0 \
  "$@" slurm/0-prepare-mt5_encoder-1gpu.sbatch)"
printf 'submitted %s as %s\n' 0-prepare-mt5_encoder-1gpu "$a0"

# 1-none-s1-1gpu: 10 jobs
a1="$(submit --array=0-9 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-none-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 1-none-s1-1gpu "$a1"

# 1-jobs-8gpu: 135 jobs
a2="$(submit --array=0-134 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu "$a2"

# 2-none-mlqa-1gpu: 15 jobs
a3="$(submit --array=0-14 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}" \
  "$@" slurm/2-none-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-none-mlqa-1gpu "$a3"

# 2-bucc2018-1gpu: 45 jobs
a4="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107,114-116,123-125,132-134 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-bucc2018-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bucc2018-1gpu "$a4"

# 2-tatoeba-1gpu: 45 jobs
a5="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107,114-116,123-125,132-134 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-tatoeba-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tatoeba-1gpu "$a5"

# 2-xnli-8gpu: 45 jobs
a6="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107,114-116,123-125,132-134 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-8gpu "$a6"

# 2-paws_x-8gpu: 45 jobs
a7="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107,114-116,123-125,132-134 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-paws_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-paws_x-8gpu "$a7"

# 2-udpos-8gpu: 45 jobs
a8="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107,114-116,123-125,132-134 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-udpos-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-udpos-8gpu "$a8"

# 2-pan_x-8gpu: 45 jobs
a9="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107,114-116,123-125,132-134 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-8gpu "$a9"

# 2-xquad-8gpu: 45 jobs
a10="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107,114-116,123-125,132-134 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xquad-8gpu "$a10"

# 2-tydiqa_goldp-8gpu: 45 jobs
a11="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107,114-116,123-125,132-134 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-8gpu "$a11"

# 3-mlqa-1gpu: 45 jobs
a12="$(submit --array=0-44 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a10}" \
  "$@" slurm/3-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-mlqa-1gpu "$a12"
