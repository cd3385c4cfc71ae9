#!/usr/bin/env bash
# Submits study bloom-ladder to Slurm by hand: 415 jobs in 45 arrays. Words given here are passed on to sbatch.
# `stiltscale run --engine slurm` submits only what is missing, follows it, and writes the report.
set -euo pipefail
cd -- "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
submit() {
  local id
  id="$(sbatch --parsable "$@")"
  printf '%s\n' "${id%%;*}"
}

# 0-prepare-bloom-1gpu: 1 jobs
a0="$(submit --array=0 \
  "$@" slurm/0-prepare-bloom-1gpu.sbatch)"
printf 'submitted %s as %s\n' 0-prepare-bloom-1gpu "$a0"

# 1-jobs-8gpu: 78 jobs
a1="$(submit --array=0-77 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu "$a1"

# 1-jobs-8gpu-2: 18 jobs
a2="$(submit --array=0-17 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu-2 "$a2"

# 1-bloom_7b1-none-8gpu: 12 jobs
a3="$(submit --array=0-11 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-bloom_7b1-none-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-bloom_7b1-none-8gpu "$a3"

# 1-bloom_7b1-8gpu: 9 jobs
a4="$(submit --array=0-8 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-bloom_7b1-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-bloom_7b1-8gpu "$a4"

# 1-bloom_7b1-none-xnli-8gpu: 3 jobs
a5="$(submit --array=0-2 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-bloom_7b1-none-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-bloom_7b1-none-xnli-8gpu "$a5"

# 1-bloom_176b-none-tydiqa_goldp-8x8gpu: 3 jobs
a6="$(submit --array=0-2 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-bloom_176b-none-tydiqa_goldp-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-bloom_176b-none-tydiqa_goldp-8x8gpu "$a6"

# 1-bloom_176b-8x8gpu: 21 jobs
a7="$(submit --array=0-20 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-bloom_176b-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-bloom_176b-8x8gpu "$a7"

# 2-none-mlqa-1gpu: 15 jobs
a8="$(submit --array=0-14 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a4}_0,afterany:${a4}_3,afterany:${a4}_6,afterany:${a2}_1,afterany:${a2}_7,afterany:${a2}_13,afterany:${a1}" \
  "$@" slurm/2-none-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-none-mlqa-1gpu "$a8"

# 2-bloom_176b-none-mlqa-s1-1gpu: 1 jobs
a9="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a7}_4" \
  "$@" slurm/2-bloom_176b-none-mlqa-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-none-mlqa-s1-1gpu "$a9"

# 2-bloom_176b-none-mlqa-s2-1gpu: 1 jobs
a10="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a7}_11" \
  "$@" slurm/2-bloom_176b-none-mlqa-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-none-mlqa-s2-1gpu "$a10"

# 2-bloom_176b-none-mlqa-s3-1gpu: 1 jobs
a11="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a7}_18" \
  "$@" slurm/2-bloom_176b-none-mlqa-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-none-mlqa-s3-1gpu "$a11"

# 2-paws_x-8gpu: 9 jobs
a12="$(submit --array=2-3,5,8-9,11,14-15,17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-paws_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-paws_x-8gpu "$a12"

# 2-udpos-8gpu: 9 jobs
a13="$(submit --array=2-3,5,8-9,11,14-15,17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-udpos-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-udpos-8gpu "$a13"

# 2-pan_x-8gpu: 9 jobs
a14="$(submit --array=2-3,5,8-9,11,14-15,17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-8gpu "$a14"

# 2-jobs-8gpu: 9 jobs
a15="$(submit --array=2-3,5,8-9,11,14-15,17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-jobs-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu "$a15"

# 2-bloom_1b7-mnli-tydiqa_goldp-8gpu: 3 jobs
a16="$(submit --array=5,11,17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-bloom_1b7-mnli-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_1b7-mnli-tydiqa_goldp-8gpu "$a16"

# 2-jobs-8gpu-2: 15 jobs
a17="$(submit --array=9,16-17,24-25,35,42-43,50-51,61,68-69,76-77 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-jobs-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-2 "$a17"

# 2-jobs-8gpu-3: 15 jobs
a18="$(submit --array=9,16-17,24-25,35,42-43,50-51,61,68-69,76-77 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-jobs-8gpu-3.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-3 "$a18"

# 2-jobs-8gpu-4: 15 jobs
a19="$(submit --array=9,16-17,24-25,35,42-43,50-51,61,68-69,76-77 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-jobs-8gpu-4.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-4 "$a19"

# 2-jobs-8gpu-5: 15 jobs
a20="$(submit --array=9,16-17,24-25,35,42-43,50-51,61,68-69,76-77 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-jobs-8gpu-5.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-5 "$a20"

# 2-jobs-8gpu-6: 15 jobs
a21="$(submit --array=9,16-17,24-25,35,42-43,50-51,61,68-69,76-77 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-jobs-8gpu-6.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-6 "$a21"

# 2-tydiqa_goldp-8gpu: 12 jobs
a22="$(submit --array=16-17,24-25,42-43,50-51,68-69,76-77 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-8gpu "$a22"

# 2-xnli-8gpu: 9 jobs
a23="$(submit --array=2-3,5,8-9,11,14-15,17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-8gpu "$a23"

# 2-bloom_3b-xquad-8gpu: 6 jobs
a24="$(submit --array=2-3,8-9,14-15 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-bloom_3b-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_3b-xquad-8gpu "$a24"

# 2-bloom_1b7-squad_v2-xnli-8gpu: 3 jobs
a25="$(submit --array=9,35,61 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-bloom_1b7-squad_v2-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_1b7-squad_v2-xnli-8gpu "$a25"

# 2-bloom_7b1-paws_x-8gpu: 6 jobs
a26="$(submit --array=1-2,4-5,7-8 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-bloom_7b1-paws_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_7b1-paws_x-8gpu "$a26"

# 2-bloom_7b1-udpos-8gpu: 6 jobs
a27="$(submit --array=1-2,4-5,7-8 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-bloom_7b1-udpos-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_7b1-udpos-8gpu "$a27"

# 2-bloom_7b1-pan_x-8gpu: 6 jobs
a28="$(submit --array=1-2,4-5,7-8 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-bloom_7b1-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_7b1-pan_x-8gpu "$a28"

# 2-bloom_7b1-tydiqa_goldp-8gpu: 6 jobs
a29="$(submit --array=1-2,4-5,7-8 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-bloom_7b1-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_7b1-tydiqa_goldp-8gpu "$a29"

# 2-bloom_7b1-xquad-8gpu: 6 jobs
a30="$(submit --array=1-2,4-5,7-8 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-bloom_7b1-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_7b1-xquad-8gpu "$a30"

# 2-bloom_7b1-xnli-8gpu: 6 jobs
a31="$(submit --array=1-2,4-5,7-8 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-bloom_7b1-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_7b1-xnli-8gpu "$a31"

# 2-bloom_176b-tydiqa_goldp-8x8gpu: 6 jobs
a32="$(submit --array=5-6,12-13,19-20 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a7}" \
  "$@" slurm/2-bloom_176b-tydiqa_goldp-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-tydiqa_goldp-8x8gpu "$a32"

# 2-bloom_176b-xnli-8x8gpu: 6 jobs
a33="$(submit --array=5-6,12-13,19-20 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a7}" \
  "$@" slurm/2-bloom_176b-xnli-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-xnli-8x8gpu "$a33"

# 2-bloom_176b-paws_x-8x8gpu: 6 jobs
a34="$(submit --array=5-6,12-13,19-20 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a7}" \
  "$@" slurm/2-bloom_176b-paws_x-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-paws_x-8x8gpu "$a34"

# 2-bloom_176b-udpos-8x8gpu: 6 jobs
a35="$(submit --array=5-6,12-13,19-20 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a7}" \
  "$@" slurm/2-bloom_176b-udpos-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-udpos-8x8gpu "$a35"

# 2-bloom_176b-pan_x-8x8gpu: 6 jobs
a36="$(submit --array=5-6,12-13,19-20 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a7}" \
  "$@" slurm/2-bloom_176b-pan_x-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-pan_x-8x8gpu "$a36"

# 2-bloom_176b-xquad-8x8gpu: 6 jobs
a37="$(submit --array=5-6,12-13,19-20 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a7}" \
  "$@" slurm/2-bloom_176b-xquad-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-xquad-8x8gpu "$a37"

# 3-mlqa-1gpu: 30 jobs
a38="$(submit --array=0-29 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a30},afterany:${a24},afterany:${a15}_5,afterany:${a15}_11,afterany:${a15}_17,afterany:${a20}_9,afterany:${a20}_35,afterany:${a20}_61,afterany:${a21}" \
  "$@" slurm/3-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-mlqa-1gpu "$a38"

# 3-bloom_176b-mnli-mlqa-s1-1gpu: 1 jobs
a39="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a37}_5" \
  "$@" slurm/3-bloom_176b-mnli-mlqa-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-bloom_176b-mnli-mlqa-s1-1gpu "$a39"

# 3-bloom_176b-squad_v2-mlqa-s1-1gpu: 1 jobs
a40="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a37}_6" \
  "$@" slurm/3-bloom_176b-squad_v2-mlqa-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-bloom_176b-squad_v2-mlqa-s1-1gpu "$a40"

# 3-bloom_176b-mnli-mlqa-s2-1gpu: 1 jobs
a41="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a37}_12" \
  "$@" slurm/3-bloom_176b-mnli-mlqa-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-bloom_176b-mnli-mlqa-s2-1gpu "$a41"

# 3-bloom_176b-squad_v2-mlqa-s2-1gpu: 1 jobs
a42="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a37}_13" \
  "$@" slurm/3-bloom_176b-squad_v2-mlqa-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-bloom_176b-squad_v2-mlqa-s2-1gpu "$a42"

# 3-bloom_176b-mnli-mlqa-s3-1gpu: 1 jobs
a43="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a37}_19" \
  "$@" slurm/3-bloom_176b-mnli-mlqa-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-bloom_176b-mnli-mlqa-s3-1gpu "$a43"

# 3-bloom_176b-squad_v2-mlqa-s3-1gpu: 1 jobs
a44="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a37}_20" \
  "$@" slurm/3-bloom_176b-squad_v2-mlqa-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-bloom_176b-squad_v2-mlqa-s3-1gpu "$a44"
