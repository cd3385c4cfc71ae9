#!/usr/bin/env bash
# Submits study xtreme-r-xlmr to Slurm by hand: 901 jobs in 21 arrays. Words given here are passed on to sbatch.
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

# 1-jobs-8gpu: 126 jobs
a1="$(submit --array=0-125 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu "$a1"

# 1-jobs-8gpu-2: 126 jobs
a2="$(submit --array=0-125 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu-2 "$a2"

# 2-jobs-1gpu: 48 jobs
a3="$(submit --array=0-47 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2},afterany:${a1}" \
  "$@" slurm/2-jobs-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-1gpu "$a3"

# 2-xnli-8gpu: 30 jobs
a4="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-8gpu "$a4"

# 2-xcopa-8gpu: 30 jobs
a5="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xcopa-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xcopa-8gpu "$a5"

# 2-udpos_treebanks-8gpu: 30 jobs
a6="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-udpos_treebanks-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-udpos_treebanks-8gpu "$a6"

# 2-pan_x-8gpu: 30 jobs
a7="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-8gpu "$a7"

# 2-xquad-8gpu: 30 jobs
a8="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xquad-8gpu "$a8"

# 2-tydiqa_goldp-8gpu: 30 jobs
a9="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-8gpu "$a9"

# 2-mewsli_x-8gpu: 30 jobs
a10="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-mewsli_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mewsli_x-8gpu "$a10"

# 2-lareqa-8gpu: 30 jobs
a11="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-lareqa-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-lareqa-8gpu "$a11"

# 2-xnli-8gpu-2: 30 jobs
a12="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xnli-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-8gpu-2 "$a12"

# 2-xcopa-8gpu-2: 30 jobs
a13="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xcopa-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xcopa-8gpu-2 "$a13"

# 2-udpos_treebanks-8gpu-2: 30 jobs
a14="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-udpos_treebanks-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-udpos_treebanks-8gpu-2 "$a14"

# 2-pan_x-8gpu-2: 30 jobs
a15="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-pan_x-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-8gpu-2 "$a15"

# 2-xquad-8gpu-2: 30 jobs
a16="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xquad-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xquad-8gpu-2 "$a16"

# 2-tydiqa_goldp-8gpu-2: 30 jobs
a17="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-tydiqa_goldp-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-8gpu-2 "$a17"

# 2-mewsli_x-8gpu-2: 30 jobs
a18="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-mewsli_x-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-mewsli_x-8gpu-2 "$a18"

# 2-lareqa-8gpu-2: 30 jobs
a19="$(submit --array=8-11,20,29-32,41,50-53,62,71-74,83,92-95,104,113-116,125 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-lareqa-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-lareqa-8gpu-2 "$a19"

# 3-jobs-1gpu: 120 jobs
a20="$(submit --array=0-119 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a16},afterany:${a8}" \
  "$@" slurm/3-jobs-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-jobs-1gpu "$a20"
