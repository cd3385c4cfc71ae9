#!/usr/bin/env bash
# Submits study xtreme-r-xlmr to Slurm by hand: 901 jobs in 12 arrays. Words given here are passed on to sbatch.
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

# 1-jobs-2x8gpu: 252 jobs
a1="$(submit --array=0-251 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-2x8gpu "$a1"

# 2-jobs-1gpu: 48 jobs
a2="$(submit --array=0-47 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a1}" \
  "$@" slurm/2-jobs-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-1gpu "$a2"

# 2-xnli-2x8gpu: 60 jobs
a3="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125,134-137,146,155-158,167,176-179,188,197-200,209,218-221,230,239-242,251 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xnli-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-2x8gpu "$a3"

# 2-xcopa-2x8gpu: 60 jobs
a4="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125,134-137,146,155-158,167,176-179,188,197-200,209,218-221,230,239-242,251 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xcopa-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xcopa-2x8gpu "$a4"

# 2-udpos_treebanks-2x8gpu: 60 jobs
a5="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125,134-137,146,155-158,167,176-179,188,197-200,209,218-221,230,239-242,251 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-udpos_treebanks-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-udpos_treebanks-2x8gpu "$a5"

# 2-pan_x-2x8gpu: 60 jobs
a6="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125,134-137,146,155-158,167,176-179,188,197-200,209,218-221,230,239-242,251 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-pan_x-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-2x8gpu "$a6"

# 2-xquad-2x8gpu: 60 jobs
a7="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125,134-137,146,155-158,167,176-179,188,197-200,209,218-221,230,239-242,251 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xquad-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xquad-2x8gpu "$a7"

# 2-tydiqa_goldp-2x8gpu: 60 jobs
a8="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125,134-137,146,155-158,167,176-179,188,197-200,209,218-221,230,239-242,251 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-tydiqa_goldp-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-2x8gpu "$a8"

# 2-mewsli_x-2x8gpu: 60 jobs
a9="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125,134-137,146,155-158,167,176-179,188,197-200,209,218-221,230,239-242,251 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-mewsli_x-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mewsli_x-2x8gpu "$a9"

# 2-lareqa-2x8gpu: 60 jobs
a10="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125,134-137,146,155-158,167,176-179,188,197-200,209,218-221,230,239-242,251 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-lareqa-2x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-lareqa-2x8gpu "$a10"

# 3-jobs-1gpu: 120 jobs
a11="$(submit --array=0-119 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a7}" \
  "$@" slurm/3-jobs-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-jobs-1gpu "$a11"
