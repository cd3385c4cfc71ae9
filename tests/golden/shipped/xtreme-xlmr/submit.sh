#!/usr/bin/env bash
# Submits study xtreme-xlmr to Slurm by hand: 777 jobs in 39 arrays. Words given here are passed on to sbatch.
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

# 1-jobs-8gpu: 96 jobs
a2="$(submit --array=0-95 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu "$a2"

# 1-xlmr_large-mnli_step_matched-8gpu: 6 jobs
a3="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-xlmr_large-mnli_step_matched-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-xlmr_large-mnli_step_matched-8gpu "$a3"

# 1-none-8gpu: 15 jobs
a4="$(submit --array=0-14 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-none-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-none-8gpu "$a4"

# 1-jobs-8gpu-2: 48 jobs
a5="$(submit --array=0-47 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu-2 "$a5"

# 1-jobs-8gpu-3: 39 jobs
a6="$(submit --array=0-38 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu-3.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu-3 "$a6"

# 2-mlqa-1gpu: 24 jobs
a7="$(submit --array=0-23 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a5}_3,afterany:${a5}_7,afterany:${a5}_19,afterany:${a5}_23,afterany:${a5}_35,afterany:${a5}_39,afterany:${a6}_7,afterany:${a6}_11,afterany:${a6}_20,afterany:${a6}_24,afterany:${a6}_33,afterany:${a6}_37,afterany:${a2},afterany:${a3}_0,afterany:${a3}_2,afterany:${a3}_4" \
  "$@" slurm/2-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mlqa-1gpu "$a7"

# 2-bucc2018-1gpu: 12 jobs
a8="$(submit --array=1-2,9-10,14-15,22-23,27-28,35-36 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-bucc2018-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bucc2018-1gpu "$a8"

# 2-tatoeba-1gpu: 12 jobs
a9="$(submit --array=1-2,9-10,14-15,22-23,27-28,35-36 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-tatoeba-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tatoeba-1gpu "$a9"

# 2-bucc2018-1gpu-2: 18 jobs
a10="$(submit --array=4-5,8-10,15,20-21,24-26,31,36-37,40-42,47 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-bucc2018-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-bucc2018-1gpu-2 "$a10"

# 2-tatoeba-1gpu-2: 18 jobs
a11="$(submit --array=4-5,8-10,15,20-21,24-26,31,36-37,40-42,47 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-tatoeba-1gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-tatoeba-1gpu-2 "$a11"

# 2-bucc2018-1gpu-3: 30 jobs
a12="$(submit --array=6-9,14,21-24,31,38-41,46,53-56,63,70-73,78,85-88,95 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-bucc2018-1gpu-3.sbatch)"
printf 'submitted %s as %s\n' 2-bucc2018-1gpu-3 "$a12"

# 2-tatoeba-1gpu-3: 30 jobs
a13="$(submit --array=6-9,14,21-24,31,38-41,46,53-56,63,70-73,78,85-88,95 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-tatoeba-1gpu-3.sbatch)"
printf 'submitted %s as %s\n' 2-tatoeba-1gpu-3 "$a13"

# 2-xnli-8gpu: 30 jobs
a14="$(submit --array=6-9,14,21-24,31,38-41,46,53-56,63,70-73,78,85-88,95 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-8gpu "$a14"

# 2-paws_x-8gpu: 30 jobs
a15="$(submit --array=6-9,14,21-24,31,38-41,46,53-56,63,70-73,78,85-88,95 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-paws_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-paws_x-8gpu "$a15"

# 2-udpos-8gpu: 30 jobs
a16="$(submit --array=6-9,14,21-24,31,38-41,46,53-56,63,70-73,78,85-88,95 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-udpos-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-udpos-8gpu "$a16"

# 2-pan_x-8gpu: 30 jobs
a17="$(submit --array=6-9,14,21-24,31,38-41,46,53-56,63,70-73,78,85-88,95 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-8gpu "$a17"

# 2-xquad-8gpu: 30 jobs
a18="$(submit --array=6-9,14,21-24,31,38-41,46,53-56,63,70-73,78,85-88,95 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xquad-8gpu "$a18"

# 2-tydiqa_goldp-8gpu: 30 jobs
a19="$(submit --array=6-9,14,21-24,31,38-41,46,53-56,63,70-73,78,85-88,95 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-8gpu "$a19"

# 2-jobs-8gpu: 12 jobs
a20="$(submit --array=1-2,9-10,14-15,22-23,27-28,35-36 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-jobs-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu "$a20"

# 2-xlmr_xl-three_tasks-udpos-8gpu: 3 jobs
a21="$(submit --array=10,23,36 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-xlmr_xl-three_tasks-udpos-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xl-three_tasks-udpos-8gpu "$a21"

# 2-xlmr_xl-three_tasks-pan_x-8gpu: 3 jobs
a22="$(submit --array=10,23,36 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-xlmr_xl-three_tasks-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xl-three_tasks-pan_x-8gpu "$a22"

# 2-xlmr_xl-three_tasks-tydiqa_goldp-8gpu: 3 jobs
a23="$(submit --array=10,23,36 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-xlmr_xl-three_tasks-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xl-three_tasks-tydiqa_goldp-8gpu "$a23"

# 2-jobs-8gpu-2: 18 jobs
a24="$(submit --array=4-5,8-10,15,20-21,24-26,31,36-37,40-42,47 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-jobs-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-2 "$a24"

# 2-xlmr_xl-udpos-8gpu: 12 jobs
a25="$(submit --array=8-10,15,24-26,31,40-42,47 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-xlmr_xl-udpos-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xl-udpos-8gpu "$a25"

# 2-xlmr_xl-pan_x-8gpu: 12 jobs
a26="$(submit --array=8-10,15,24-26,31,40-42,47 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-xlmr_xl-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xl-pan_x-8gpu "$a26"

# 2-xlmr_xl-tydiqa_goldp-8gpu: 12 jobs
a27="$(submit --array=8-10,15,24-26,31,40-42,47 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-xlmr_xl-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xl-tydiqa_goldp-8gpu "$a27"

# 2-jobs-8gpu-3: 12 jobs
a28="$(submit --array=1-2,9-10,14-15,22-23,27-28,35-36 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-jobs-8gpu-3.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-3 "$a28"

# 2-jobs-8gpu-4: 12 jobs
a29="$(submit --array=1-2,9-10,14-15,22-23,27-28,35-36 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-jobs-8gpu-4.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-4 "$a29"

# 2-xlmr_xxl-pan_x-8gpu: 9 jobs
a30="$(submit --array=1-2,9,14-15,22,27-28,35 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-xlmr_xxl-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xxl-pan_x-8gpu "$a30"

# 2-xlmr_xxl-xquad-8gpu: 9 jobs
a31="$(submit --array=1-2,9,14-15,22,27-28,35 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-xlmr_xxl-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xxl-xquad-8gpu "$a31"

# 2-jobs-8gpu-5: 18 jobs
a32="$(submit --array=4-5,8-10,15,20-21,24-26,31,36-37,40-42,47 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-jobs-8gpu-5.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-5 "$a32"

# 2-jobs-8gpu-6: 18 jobs
a33="$(submit --array=4-5,8-10,15,20-21,24-26,31,36-37,40-42,47 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-jobs-8gpu-6.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-6 "$a33"

# 2-xlmr_xxl-pan_x-8gpu-2: 6 jobs
a34="$(submit --array=4-5,20-21,36-37 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-xlmr_xxl-pan_x-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xxl-pan_x-8gpu-2 "$a34"

# 2-xlmr_xxl-xquad-8gpu-2: 6 jobs
a35="$(submit --array=4-5,20-21,36-37 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-xlmr_xxl-xquad-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xxl-xquad-8gpu-2 "$a35"

# 2-xlmr_xxl-xnli-8gpu: 9 jobs
a36="$(submit --array=1-2,9,14-15,22,27-28,35 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a6}" \
  "$@" slurm/2-xlmr_xxl-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xxl-xnli-8gpu "$a36"

# 2-xlmr_xxl-xnli-8gpu-2: 6 jobs
a37="$(submit --array=4-5,20-21,36-37 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-xlmr_xxl-xnli-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xxl-xnli-8gpu-2 "$a37"

# 3-mlqa-1gpu: 60 jobs
a38="$(submit --array=0-59 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a31},afterany:${a35},afterany:${a33},afterany:${a29}_10,afterany:${a29}_23,afterany:${a29}_36,afterany:${a18}" \
  "$@" slurm/3-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-mlqa-1gpu "$a38"
