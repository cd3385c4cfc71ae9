#!/usr/bin/env bash
# Submits study x-stilts to Slurm by hand: 321 jobs in 35 arrays. Words given here are passed on to sbatch.
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

# 1-xlmr_large-1gpu: 6 jobs
a1="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-xlmr_large-1gpu.sbatch)"
printf 'submitted %s as %s\n' 1-xlmr_large-1gpu "$a1"

# 1-xlmr_large-1gpu-2: 29 jobs
a2="$(submit --array=0-28 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-xlmr_large-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 1-xlmr_large-1gpu-2 "$a2"

# 1-xlmr_large-1gpu-3: 12 jobs
a3="$(submit --array=0-11 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-xlmr_large-1gpu-3.sbatch)"
printf 'submitted %s as %s\n' 1-xlmr_large-1gpu-3 "$a3"

# 2-xlmr_large-s1-1gpu: 2 jobs
a4="$(submit --array=0-1 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_3" \
  "$@" slurm/2-xlmr_large-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-s1-1gpu "$a4"

# 2-xlmr_large-s2-1gpu: 2 jobs
a5="$(submit --array=0-1 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_14" \
  "$@" slurm/2-xlmr_large-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-s2-1gpu "$a5"

# 2-xlmr_large-s3-1gpu: 2 jobs
a6="$(submit --array=0-1 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_23" \
  "$@" slurm/2-xlmr_large-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-s3-1gpu "$a6"

# 2-xlmr_large-tydiqa_goldp-1gpu: 9 jobs
a7="$(submit --array=1-3,5-7,9-11 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-xlmr_large-tydiqa_goldp-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-tydiqa_goldp-1gpu "$a7"

# 2-xlmr_large-tydiqa_goldp-1gpu-2: 15 jobs
a8="$(submit --array=6-10,15-19,24-28 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xlmr_large-tydiqa_goldp-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-tydiqa_goldp-1gpu-2 "$a8"

# 2-xlmr_large-commonsense_qa-tydiqa_goldp-1gpu: 3 jobs
a9="$(submit --array=1,3,5 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xlmr_large-commonsense_qa-tydiqa_goldp-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-commonsense_qa-tydiqa_goldp-1gpu "$a9"

# 2-xlmr_large-squad_v1-s1-1gpu: 6 jobs
a10="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_3" \
  "$@" slurm/2-xlmr_large-squad_v1-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-squad_v1-s1-1gpu "$a10"

# 2-xlmr_large-squad_v1-s2-1gpu: 6 jobs
a11="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_14" \
  "$@" slurm/2-xlmr_large-squad_v1-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-squad_v1-s2-1gpu "$a11"

# 2-xlmr_large-squad_v1-s3-1gpu: 6 jobs
a12="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_23" \
  "$@" slurm/2-xlmr_large-squad_v1-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-squad_v1-s3-1gpu "$a12"

# 2-xlmr_large-commonsense_qa-s1-1gpu: 6 jobs
a13="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a1}_1" \
  "$@" slurm/2-xlmr_large-commonsense_qa-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-commonsense_qa-s1-1gpu "$a13"

# 2-xlmr_large-commonsense_qa-s2-1gpu: 6 jobs
a14="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a1}_3" \
  "$@" slurm/2-xlmr_large-commonsense_qa-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-commonsense_qa-s2-1gpu "$a14"

# 2-xlmr_large-commonsense_qa-s3-1gpu: 6 jobs
a15="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a1}_5" \
  "$@" slurm/2-xlmr_large-commonsense_qa-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-commonsense_qa-s3-1gpu "$a15"

# 2-xlmr_large-paws_x-1gpu: 9 jobs
a16="$(submit --array=1-3,5-7,9-11 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-xlmr_large-paws_x-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-paws_x-1gpu "$a16"

# 2-xlmr_large-udpos-1gpu: 9 jobs
a17="$(submit --array=1-3,5-7,9-11 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-xlmr_large-udpos-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-udpos-1gpu "$a17"

# 2-xlmr_large-pan_x-1gpu: 9 jobs
a18="$(submit --array=1-3,5-7,9-11 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-xlmr_large-pan_x-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-pan_x-1gpu "$a18"

# 2-xlmr_large-xquad-1gpu: 9 jobs
a19="$(submit --array=1-3,5-7,9-11 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-xlmr_large-xquad-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-xquad-1gpu "$a19"

# 2-xlmr_large-bucc2018-1gpu: 9 jobs
a20="$(submit --array=1-3,5-7,9-11 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-xlmr_large-bucc2018-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-bucc2018-1gpu "$a20"

# 2-xlmr_large-tatoeba-1gpu: 9 jobs
a21="$(submit --array=1-3,5-7,9-11 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-xlmr_large-tatoeba-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-tatoeba-1gpu "$a21"

# 2-xlmr_large-paws_x-1gpu-2: 15 jobs
a22="$(submit --array=6-10,15-19,24-28 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xlmr_large-paws_x-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-paws_x-1gpu-2 "$a22"

# 2-xlmr_large-udpos-1gpu-2: 15 jobs
a23="$(submit --array=6-10,15-19,24-28 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xlmr_large-udpos-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-udpos-1gpu-2 "$a23"

# 2-xlmr_large-pan_x-1gpu-2: 15 jobs
a24="$(submit --array=6-10,15-19,24-28 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xlmr_large-pan_x-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-pan_x-1gpu-2 "$a24"

# 2-xlmr_large-xquad-1gpu-2: 15 jobs
a25="$(submit --array=6-10,15-19,24-28 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xlmr_large-xquad-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-xquad-1gpu-2 "$a25"

# 2-xlmr_large-bucc2018-1gpu-2: 15 jobs
a26="$(submit --array=6-10,15-19,24-28 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xlmr_large-bucc2018-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-bucc2018-1gpu-2 "$a26"

# 2-xlmr_large-tatoeba-1gpu-2: 15 jobs
a27="$(submit --array=6-10,15-19,24-28 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xlmr_large-tatoeba-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-tatoeba-1gpu-2 "$a27"

# 2-xlmr_large-squad_v1-xnli-s1-1gpu: 1 jobs
a28="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_3" \
  "$@" slurm/2-xlmr_large-squad_v1-xnli-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-squad_v1-xnli-s1-1gpu "$a28"

# 2-xlmr_large-squad_v1-xnli-s2-1gpu: 1 jobs
a29="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_14" \
  "$@" slurm/2-xlmr_large-squad_v1-xnli-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-squad_v1-xnli-s2-1gpu "$a29"

# 2-xlmr_large-squad_v1-xnli-s3-1gpu: 1 jobs
a30="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_23" \
  "$@" slurm/2-xlmr_large-squad_v1-xnli-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-squad_v1-xnli-s3-1gpu "$a30"

# 2-xlmr_large-xnli-1gpu: 9 jobs
a31="$(submit --array=1-3,5-7,9-11 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a3}" \
  "$@" slurm/2-xlmr_large-xnli-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-xnli-1gpu "$a31"

# 2-xlmr_large-xnli-1gpu-2: 15 jobs
a32="$(submit --array=6-10,15-19,24-28 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xlmr_large-xnli-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-xnli-1gpu-2 "$a32"

# 2-xlmr_large-commonsense_qa-xnli-1gpu: 3 jobs
a33="$(submit --array=1,3,5 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xlmr_large-commonsense_qa-xnli-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_large-commonsense_qa-xnli-1gpu "$a33"

# 3-xlmr_large-mlqa-1gpu: 30 jobs
a34="$(submit --array=0-29 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a19},afterany:${a10}_3,afterany:${a25},afterany:${a13}_3,afterany:${a11}_3,afterany:${a14}_3,afterany:${a12}_3,afterany:${a15}_3" \
  "$@" slurm/3-xlmr_large-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-xlmr_large-mlqa-1gpu "$a34"
