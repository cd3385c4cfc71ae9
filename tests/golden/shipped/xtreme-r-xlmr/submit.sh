#!/usr/bin/env bash
# Submits study xtreme-r-xlmr to Slurm by hand: 901 jobs in 38 arrays. Words given here are passed on to sbatch.
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

# 1-jobs-8gpu: 81 jobs
a1="$(submit --array=0-80 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu "$a1"

# 1-jobs-8gpu-2: 45 jobs
a2="$(submit --array=0-44 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu-2 "$a2"

# 1-none-8gpu: 12 jobs
a3="$(submit --array=0-11 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-none-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-none-8gpu "$a3"

# 1-jobs-8gpu-3: 72 jobs
a4="$(submit --array=0-71 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu-3.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu-3 "$a4"

# 1-jobs-8gpu-4: 42 jobs
a5="$(submit --array=0-41 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu-4.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu-4 "$a5"

# 2-mlqa-1gpu: 24 jobs
a6="$(submit --array=0-23 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a4}_3,afterany:${a4}_12,afterany:${a4}_27,afterany:${a4}_36,afterany:${a4}_51,afterany:${a4}_60,afterany:${a5}_7,afterany:${a5}_12,afterany:${a5}_21,afterany:${a5}_26,afterany:${a5}_35,afterany:${a5}_40,afterany:${a1},afterany:${a2}_5,afterany:${a2}_20,afterany:${a2}_35" \
  "$@" slurm/2-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mlqa-1gpu "$a6"

# 2-tatoeba-1gpu: 24 jobs
a7="$(submit --array=0-23 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a4}_3,afterany:${a4}_12,afterany:${a4}_27,afterany:${a4}_36,afterany:${a4}_51,afterany:${a4}_60,afterany:${a5}_7,afterany:${a5}_12,afterany:${a5}_21,afterany:${a5}_26,afterany:${a5}_35,afterany:${a5}_40,afterany:${a1},afterany:${a2}_5,afterany:${a2}_20,afterany:${a2}_35" \
  "$@" slurm/2-tatoeba-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tatoeba-1gpu "$a7"

# 2-xnli-8gpu: 30 jobs
a8="$(submit --array=5-8,11,17-20,26,32-35,38,44-47,53,59-62,65,71-74,80 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-8gpu "$a8"

# 2-xcopa-8gpu: 30 jobs
a9="$(submit --array=5-8,11,17-20,26,32-35,38,44-47,53,59-62,65,71-74,80 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xcopa-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xcopa-8gpu "$a9"

# 2-pan_x-8gpu: 30 jobs
a10="$(submit --array=5-8,11,17-20,26,32-35,38,44-47,53,59-62,65,71-74,80 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-8gpu "$a10"

# 2-xquad-8gpu: 30 jobs
a11="$(submit --array=5-8,11,17-20,26,32-35,38,44-47,53,59-62,65,71-74,80 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xquad-8gpu "$a11"

# 2-tydiqa_goldp-8gpu: 30 jobs
a12="$(submit --array=5-8,11,17-20,26,32-35,38,44-47,53,59-62,65,71-74,80 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-8gpu "$a12"

# 2-udpos_treebanks-8gpu: 30 jobs
a13="$(submit --array=5-8,11,17-20,26,32-35,38,44-47,53,59-62,65,71-74,80 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-udpos_treebanks-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-udpos_treebanks-8gpu "$a13"

# 2-mewsli_x-8gpu: 30 jobs
a14="$(submit --array=5-8,11,17-20,26,32-35,38,44-47,53,59-62,65,71-74,80 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-mewsli_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-mewsli_x-8gpu "$a14"

# 2-lareqa-8gpu: 30 jobs
a15="$(submit --array=5-8,11,17-20,26,32-35,38,44-47,53,59-62,65,71-74,80 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-lareqa-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-lareqa-8gpu "$a15"

# 2-jobs-8gpu: 15 jobs
a16="$(submit --array=1-3,9-10,15-17,23-24,29-31,37-38 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-jobs-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu "$a16"

# 2-xlmr_xl-three_tasks-pan_x-8gpu: 3 jobs
a17="$(submit --array=10,24,38 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-xlmr_xl-three_tasks-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xl-three_tasks-pan_x-8gpu "$a17"

# 2-xlmr_xl-three_tasks-tydiqa_goldp-8gpu: 3 jobs
a18="$(submit --array=10,24,38 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-xlmr_xl-three_tasks-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xl-three_tasks-tydiqa_goldp-8gpu "$a18"

# 2-jobs-8gpu-2: 15 jobs
a19="$(submit --array=6,15-17,23,30,39-41,47,54,63-65,71 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-jobs-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-2 "$a19"

# 2-xlmr_xl-pan_x-8gpu: 12 jobs
a20="$(submit --array=15-17,23,39-41,47,63-65,71 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-xlmr_xl-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xl-pan_x-8gpu "$a20"

# 2-xlmr_xl-tydiqa_goldp-8gpu: 12 jobs
a21="$(submit --array=15-17,23,39-41,47,63-65,71 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-xlmr_xl-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xl-tydiqa_goldp-8gpu "$a21"

# 2-jobs-8gpu-3: 15 jobs
a22="$(submit --array=1-3,9-10,15-17,23-24,29-31,37-38 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-jobs-8gpu-3.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-3 "$a22"

# 2-udpos_treebanks-8gpu-2: 15 jobs
a23="$(submit --array=1-3,9-10,15-17,23-24,29-31,37-38 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-udpos_treebanks-8gpu-2.sbatch)"
printf 'submitted %s as %s\n' 2-udpos_treebanks-8gpu-2 "$a23"

# 2-jobs-8gpu-4: 15 jobs
a24="$(submit --array=1-3,9-10,15-17,23-24,29-31,37-38 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-jobs-8gpu-4.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-4 "$a24"

# 2-jobs-8gpu-5: 15 jobs
a25="$(submit --array=1-3,9-10,15-17,23-24,29-31,37-38 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-jobs-8gpu-5.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-5 "$a25"

# 2-jobs-8gpu-6: 15 jobs
a26="$(submit --array=1-3,9-10,15-17,23-24,29-31,37-38 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-jobs-8gpu-6.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-6 "$a26"

# 2-xlmr_xxl-lareqa-8gpu: 12 jobs
a27="$(submit --array=1-3,9,15-17,23,29-31,37 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-xlmr_xxl-lareqa-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xxl-lareqa-8gpu "$a27"

# 2-jobs-8gpu-7: 15 jobs
a28="$(submit --array=6,15-17,23,30,39-41,47,54,63-65,71 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-jobs-8gpu-7.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-7 "$a28"

# 2-udpos_treebanks-8gpu-3: 15 jobs
a29="$(submit --array=6,15-17,23,30,39-41,47,54,63-65,71 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-udpos_treebanks-8gpu-3.sbatch)"
printf 'submitted %s as %s\n' 2-udpos_treebanks-8gpu-3 "$a29"

# 2-jobs-8gpu-8: 15 jobs
a30="$(submit --array=6,15-17,23,30,39-41,47,54,63-65,71 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-jobs-8gpu-8.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-8 "$a30"

# 2-jobs-8gpu-9: 15 jobs
a31="$(submit --array=6,15-17,23,30,39-41,47,54,63-65,71 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-jobs-8gpu-9.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-9 "$a31"

# 2-jobs-8gpu-10: 15 jobs
a32="$(submit --array=6,15-17,23,30,39-41,47,54,63-65,71 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-jobs-8gpu-10.sbatch)"
printf 'submitted %s as %s\n' 2-jobs-8gpu-10 "$a32"

# 2-xlmr_xxl-hellaswag-lareqa-8gpu: 3 jobs
a33="$(submit --array=6,30,54 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-xlmr_xxl-hellaswag-lareqa-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xxl-hellaswag-lareqa-8gpu "$a33"

# 2-xlmr_xxl-xnli-8gpu: 12 jobs
a34="$(submit --array=1-3,9,15-17,23,29-31,37 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-xlmr_xxl-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xxl-xnli-8gpu "$a34"

# 2-xlmr_xxl-hellaswag-xnli-8gpu: 3 jobs
a35="$(submit --array=6,30,54 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a4}" \
  "$@" slurm/2-xlmr_xxl-hellaswag-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xlmr_xxl-hellaswag-xnli-8gpu "$a35"

# 3-mlqa-1gpu: 60 jobs
a36="$(submit --array=0-59 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a25},afterany:${a31}_6,afterany:${a31}_30,afterany:${a31}_54,afterany:${a30},afterany:${a24}_10,afterany:${a24}_24,afterany:${a24}_38,afterany:${a11}" \
  "$@" slurm/3-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-mlqa-1gpu "$a36"

# 3-tatoeba-1gpu: 60 jobs
a37="$(submit --array=0-59 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a25},afterany:${a31}_6,afterany:${a31}_30,afterany:${a31}_54,afterany:${a30},afterany:${a24}_10,afterany:${a24}_24,afterany:${a24}_38,afterany:${a11}" \
  "$@" slurm/3-tatoeba-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-tatoeba-1gpu "$a37"
