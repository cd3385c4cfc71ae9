#!/usr/bin/env bash
# Submits study mt5-encoder-ladder to Slurm by hand: 566 jobs in 22 arrays. Words given here are passed on to sbatch.
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

# 1-jobs-8gpu: 108 jobs
a2="$(submit --array=0-107 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu "$a2"

# 1-mt5_xxl-8gpu: 27 jobs
a3="$(submit --array=0-26 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-mt5_xxl-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-mt5_xxl-8gpu "$a3"

# 2-none-mlqa-1gpu: 15 jobs
a4="$(submit --array=0-14 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a3}_4,afterany:${a3}_13,afterany:${a3}_22,afterany:${a2}" \
  "$@" slurm/2-none-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-none-mlqa-1gpu "$a4"

# 2-mt5_xxl-bucc2018-1gpu: 9 jobs
a5="$(submit --array=6-8,15-17,24-26 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-mt5_xxl-bucc2018-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-bucc2018-1gpu "$a5"

# 2-mt5_xxl-tatoeba-1gpu: 9 jobs
a6="$(submit --array=6-8,15-17,24-26 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-mt5_xxl-tatoeba-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-tatoeba-1gpu "$a6"

# 2-bucc2018-1gpu: 36 jobs
a7="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-bucc2018-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bucc2018-1gpu "$a7"

# 2-tatoeba-1gpu: 36 jobs
a8="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-tatoeba-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tatoeba-1gpu "$a8"

# 2-xnli-8gpu: 36 jobs
a9="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-8gpu "$a9"

# 2-paws_x-8gpu: 36 jobs
a10="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-paws_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-paws_x-8gpu "$a10"

# 2-udpos-8gpu: 36 jobs
a11="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-udpos-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-udpos-8gpu "$a11"

# 2-pan_x-8gpu: 36 jobs
a12="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-8gpu "$a12"

# 2-xquad-8gpu: 36 jobs
a13="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xquad-8gpu "$a13"

# 2-tydiqa_goldp-8gpu: 36 jobs
a14="$(submit --array=6-8,15-17,24-26,33-35,42-44,51-53,60-62,69-71,78-80,87-89,96-98,105-107 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-8gpu "$a14"

# 2-mt5_xxl-xnli-8gpu: 9 jobs
a15="$(submit --array=6-8,15-17,24-26 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-mt5_xxl-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-xnli-8gpu "$a15"

# 2-mt5_xxl-paws_x-8gpu: 9 jobs
a16="$(submit --array=6-8,15-17,24-26 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-mt5_xxl-paws_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-paws_x-8gpu "$a16"

# 2-mt5_xxl-udpos-8gpu: 9 jobs
a17="$(submit --array=6-8,15-17,24-26 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-mt5_xxl-udpos-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-udpos-8gpu "$a17"

# 2-mt5_xxl-pan_x-8gpu: 9 jobs
a18="$(submit --array=6-8,15-17,24-26 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-mt5_xxl-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-pan_x-8gpu "$a18"

# 2-mt5_xxl-xquad-8gpu: 9 jobs
a19="$(submit --array=6-8,15-17,24-26 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-mt5_xxl-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-xquad-8gpu "$a19"

# 2-mt5_xxl-tydiqa_goldp-8gpu: 9 jobs
a20="$(submit --array=6-8,15-17,24-26 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-mt5_xxl-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-tydiqa_goldp-8gpu "$a20"

# 3-mlqa-1gpu: 45 jobs
a21="$(submit --array=0-44 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a19},afterany:${a13}" \
  "$@" slurm/3-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-mlqa-1gpu "$a21"
