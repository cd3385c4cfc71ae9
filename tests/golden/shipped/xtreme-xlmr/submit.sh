#!/usr/bin/env bash
# Submits study xtreme-xlmr to Slurm by hand: 777 jobs in 22 arrays. Words given here are passed on to sbatch.
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

# 1-jobs-8gpu: 102 jobs
a2="$(submit --array=0-101 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu "$a2"

# 1-jobs-8gpu-2: 102 jobs
a3="$(submit --array=0-101 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu-2 "$a3"

# 2-mlqa-1gpu: 24 jobs
a4="$(submit --array=0-23 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a3},afterany:${a2}" \
  "$@" slurm/2-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mlqa-1gpu "$a4"

# 2-bucc2018-1gpu: 30 jobs
a5="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-bucc2018-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bucc2018-1gpu "$a5"

# 2-tatoeba-1gpu: 30 jobs
a6="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-tatoeba-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tatoeba-1gpu "$a6"

# 2-bucc2018-1gpu-2: 30 jobs
a7="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-bucc2018-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-bucc2018-1gpu-2 "$a7"

# 2-tatoeba-1gpu-2: 30 jobs
a8="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-tatoeba-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-tatoeba-1gpu-2 "$a8"

# 2-xnli-8gpu: 30 jobs
a9="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-8gpu "$a9"

# 2-paws_x-8gpu: 30 jobs
a10="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-paws_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-paws_x-8gpu "$a10"

# 2-udpos-8gpu: 30 jobs
a11="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-udpos-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-udpos-8gpu "$a11"

# 2-pan_x-8gpu: 30 jobs
a12="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-8gpu "$a12"

# 2-xquad-8gpu: 30 jobs
a13="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xquad-8gpu "$a13"

# 2-tydiqa_goldp-8gpu: 30 jobs
a14="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-8gpu "$a14"

# 2-xnli-8gpu-2: 30 jobs
a15="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-xnli-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-8gpu-2 "$a15"

# 2-paws_x-8gpu-2: 30 jobs
a16="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-paws_x-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-paws_x-8gpu-2 "$a16"

# 2-udpos-8gpu-2: 30 jobs
a17="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-udpos-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-udpos-8gpu-2 "$a17"

# 2-pan_x-8gpu-2: 30 jobs
a18="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-pan_x-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-8gpu-2 "$a18"

# 2-xquad-8gpu-2: 30 jobs
a19="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-xquad-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xquad-8gpu-2 "$a19"

# 2-tydiqa_goldp-8gpu-2: 30 jobs
a20="$(submit --array=6-9,16,23-26,33,40-43,50,57-60,67,74-77,84,91-94,101 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-tydiqa_goldp-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-8gpu-2 "$a20"

# 3-mlqa-1gpu: 60 jobs
a21="$(submit --array=0-59 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a19},afterany:${a13}" \
  "$@" slurm/3-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-mlqa-1gpu "$a21"
