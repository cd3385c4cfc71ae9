#!/usr/bin/env bash
# Submits study mt5-encoder-ladder to Slurm by hand: 566 jobs in 35 arrays. Words given here are passed on to sbatch.
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

# 1-jobs-8gpu: 87 jobs
a2="$(submit --array=0-86 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu "$a2"

# 1-jobs-8gpu-2: 21 jobs
a3="$(submit --array=0-20 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu-2 "$a3"

# 1-mt5_xxl-none-tydiqa_goldp-8gpu: 3 jobs
a4="$(submit --array=0-2 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-mt5_xxl-none-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-mt5_xxl-none-tydiqa_goldp-8gpu "$a4"

# 1-mt5_xxl-none-8gpu: 9 jobs
a5="$(submit --array=0-8 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-mt5_xxl-none-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-mt5_xxl-none-8gpu "$a5"

# 1-mt5_xxl-8gpu: 15 jobs
a6="$(submit --array=0-14 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-mt5_xxl-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-mt5_xxl-8gpu "$a6"

# 2-none-mlqa-1gpu: 15 jobs
a7="$(submit --array=0-14 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a6}_1,afterany:${a6}_6,afterany:${a6}_11,afterany:${a3}_1,afterany:${a3}_8,afterany:${a3}_15,afterany:${a2}" \
  "$@" slurm/2-none-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-none-mlqa-1gpu "$a7"

# 2-mt5_xxl-bucc2018-1gpu: 9 jobs
a8="$(submit --array=2-4,7-9,12-14 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-mt5_xxl-bucc2018-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-bucc2018-1gpu "$a8"

# 2-mt5_xxl-tatoeba-1gpu: 9 jobs
a9="$(submit --array=2-4,7-9,12-14 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-mt5_xxl-tatoeba-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-tatoeba-1gpu "$a9"

# 2-bucc2018-1gpu: 12 jobs
a10="$(submit --array=2-4,6,9-11,13,16-18,20 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-bucc2018-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bucc2018-1gpu "$a10"

# 2-tatoeba-1gpu: 12 jobs
a11="$(submit --array=2-4,6,9-11,13,16-18,20 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-tatoeba-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tatoeba-1gpu "$a11"

# 2-bucc2018-1gpu-2: 24 jobs
a12="$(submit --array=9-10,17-19,26-28,38-39,46-48,55-57,67-68,75-77,84-86 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-bucc2018-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-bucc2018-1gpu-2 "$a12"

# 2-tatoeba-1gpu-2: 24 jobs
a13="$(submit --array=9-10,17-19,26-28,38-39,46-48,55-57,67-68,75-77,84-86 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-tatoeba-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-tatoeba-1gpu-2 "$a13"

# 2-paws_x-8gpu: 12 jobs
a14="$(submit --array=2-4,6,9-11,13,16-18,20 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-paws_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-paws_x-8gpu "$a14"

# 2-udpos-8gpu: 12 jobs
a15="$(submit --array=2-4,6,9-11,13,16-18,20 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-udpos-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-udpos-8gpu "$a15"

# 2-pan_x-8gpu: 12 jobs
a16="$(submit --array=2-4,6,9-11,13,16-18,20 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-8gpu "$a16"

# 2-jobs-8gpu: 12 jobs
a17="$(submit --array=2-4,6,9-11,13,16-18,20 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-jobs-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu "$a17"

# 2-mt5_large-mnli-tydiqa_goldp-8gpu: 3 jobs
a18="$(submit --array=6,13,20 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-mt5_large-mnli-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_large-mnli-tydiqa_goldp-8gpu "$a18"

# 2-jobs-8gpu-2: 24 jobs
a19="$(submit --array=9-10,17-19,26-28,38-39,46-48,55-57,67-68,75-77,84-86 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-jobs-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-2 "$a19"

# 2-jobs-8gpu-3: 24 jobs
a20="$(submit --array=9-10,17-19,26-28,38-39,46-48,55-57,67-68,75-77,84-86 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-jobs-8gpu-3.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-3 "$a20"

# 2-jobs-8gpu-4: 24 jobs
a21="$(submit --array=9-10,17-19,26-28,38-39,46-48,55-57,67-68,75-77,84-86 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-jobs-8gpu-4.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-4 "$a21"

# 2-jobs-8gpu-5: 24 jobs
a22="$(submit --array=9-10,17-19,26-28,38-39,46-48,55-57,67-68,75-77,84-86 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-jobs-8gpu-5.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-5 "$a22"

# 2-jobs-8gpu-6: 24 jobs
a23="$(submit --array=9-10,17-19,26-28,38-39,46-48,55-57,67-68,75-77,84-86 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-jobs-8gpu-6.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-6 "$a23"

# 2-tydiqa_goldp-8gpu: 18 jobs
a24="$(submit --array=17-19,26-28,46-48,55-57,75-77,84-86 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-8gpu "$a24"

# 2-xnli-8gpu: 12 jobs
a25="$(submit --array=2-4,6,9-11,13,16-18,20 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-8gpu "$a25"

# 2-mt5_xl-xquad-8gpu: 9 jobs
a26="$(submit --array=2-4,9-11,16-18 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-mt5_xl-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xl-xquad-8gpu "$a26"

# 2-mt5_large-xnli-8gpu: 6 jobs
a27="$(submit --array=9-10,38-39,67-68 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-mt5_large-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_large-xnli-8gpu "$a27"

# 2-mt5_xxl-tydiqa_goldp-8gpu: 9 jobs
a28="$(submit --array=2-4,7-9,12-14 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-mt5_xxl-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-tydiqa_goldp-8gpu "$a28"

# 2-mt5_xxl-paws_x-8gpu: 9 jobs
a29="$(submit --array=2-4,7-9,12-14 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-mt5_xxl-paws_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-paws_x-8gpu "$a29"

# 2-mt5_xxl-udpos-8gpu: 9 jobs
a30="$(submit --array=2-4,7-9,12-14 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-mt5_xxl-udpos-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-udpos-8gpu "$a30"

# 2-mt5_xxl-pan_x-8gpu: 9 jobs
a31="$(submit --array=2-4,7-9,12-14 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-mt5_xxl-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-pan_x-8gpu "$a31"

# 2-mt5_xxl-xnli-8gpu: 9 jobs
a32="$(submit --array=2-4,7-9,12-14 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-mt5_xxl-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-xnli-8gpu "$a32"

# 2-mt5_xxl-xquad-8gpu: 9 jobs
a33="$(submit --array=2-4,7-9,12-14 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-mt5_xxl-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mt5_xxl-xquad-8gpu "$a33"

# 3-mlqa-1gpu: 45 jobs
a34="$(submit --array=0-44 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a33},afterany:${a26},afterany:${a17}_6,afterany:${a17}_13,afterany:${a17}_20,afterany:${a22}_9,afterany:${a22}_10,afterany:${a22}_38,afterany:${a22}_39,afterany:${a22}_67,afterany:${a22}_68,afterany:${a23}" \
  "$@" slurm/3-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-mlqa-1gpu "$a34"
