#!/usr/bin/env bash
# Submits study llama-7b-70b to Slurm by hand: 139 jobs in 36 arrays. Words given here are passed on to sbatch.
# `stiltscale run --engine slurm` submits only what is missing, follows it, and writes the report.
set -euo pipefail
cd -- "$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
submit() {
  local id
  id="$(sbatch --parsable "$@")"
  printf '%s\n' "${id%%;*}"
}

# 0-prepare-own-1gpu: 1 jobs
a0="$(submit --array=0 \
  "$@" slurm/0-prepare-own-1gpu.sbatch)"
printf 'submitted %s as %s\n' 0-prepare-own-1gpu "$a0"

# 1-llama_2_7b-none-8gpu: 6 jobs
a1="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-llama_2_7b-none-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-llama_2_7b-none-8gpu "$a1"

# 1-llama_2_7b-8gpu: 18 jobs
a2="$(submit --array=0-17 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-llama_2_7b-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-llama_2_7b-8gpu "$a2"

# 1-llama_2_70b-none-tydiqa_goldp-8gpu: 3 jobs
a3="$(submit --array=0-2 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-llama_2_70b-none-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-llama_2_70b-none-tydiqa_goldp-8gpu "$a3"

# 1-llama_2_70b-none-udpos_treebanks-8gpu: 3 jobs
a4="$(submit --array=0-2 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-llama_2_70b-none-udpos_treebanks-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-llama_2_70b-none-udpos_treebanks-8gpu "$a4"

# 1-llama_2_70b-8gpu: 18 jobs
a5="$(submit --array=0-17 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-llama_2_70b-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-llama_2_70b-8gpu "$a5"

# 2-llama_2_7b-none-mlqa-s1-1gpu: 1 jobs
a6="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_3" \
  "$@" slurm/2-llama_2_7b-none-mlqa-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-none-mlqa-s1-1gpu "$a6"

# 2-llama_2_7b-none-mlqa-s2-1gpu: 1 jobs
a7="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_9" \
  "$@" slurm/2-llama_2_7b-none-mlqa-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-none-mlqa-s2-1gpu "$a7"

# 2-llama_2_7b-none-mlqa-s3-1gpu: 1 jobs
a8="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_15" \
  "$@" slurm/2-llama_2_7b-none-mlqa-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-none-mlqa-s3-1gpu "$a8"

# 2-llama_2_70b-none-mlqa-s1-1gpu: 1 jobs
a9="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a5}_3" \
  "$@" slurm/2-llama_2_70b-none-mlqa-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-none-mlqa-s1-1gpu "$a9"

# 2-llama_2_70b-none-mlqa-s2-1gpu: 1 jobs
a10="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a5}_9" \
  "$@" slurm/2-llama_2_70b-none-mlqa-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-none-mlqa-s2-1gpu "$a10"

# 2-llama_2_70b-none-mlqa-s3-1gpu: 1 jobs
a11="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a5}_15" \
  "$@" slurm/2-llama_2_70b-none-mlqa-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-none-mlqa-s3-1gpu "$a11"

# 2-llama_2_7b-pan_x-8gpu: 6 jobs
a12="$(submit --array=4-5,10-11,16-17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-llama_2_7b-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-pan_x-8gpu "$a12"

# 2-llama_2_7b-tydiqa_goldp-8gpu: 6 jobs
a13="$(submit --array=4-5,10-11,16-17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-llama_2_7b-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-tydiqa_goldp-8gpu "$a13"

# 2-llama_2_7b-xnli-8gpu: 6 jobs
a14="$(submit --array=4-5,10-11,16-17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-llama_2_7b-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-xnli-8gpu "$a14"

# 2-llama_2_7b-xcopa-8gpu: 6 jobs
a15="$(submit --array=4-5,10-11,16-17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-llama_2_7b-xcopa-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-xcopa-8gpu "$a15"

# 2-llama_2_7b-udpos_treebanks-8gpu: 6 jobs
a16="$(submit --array=4-5,10-11,16-17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-llama_2_7b-udpos_treebanks-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-udpos_treebanks-8gpu "$a16"

# 2-llama_2_7b-xquad-8gpu: 6 jobs
a17="$(submit --array=4-5,10-11,16-17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a2}" \
  "$@" slurm/2-llama_2_7b-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-xquad-8gpu "$a17"

# 2-llama_2_70b-tydiqa_goldp-8gpu: 6 jobs
a18="$(submit --array=4-5,10-11,16-17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-llama_2_70b-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-tydiqa_goldp-8gpu "$a18"

# 2-llama_2_70b-udpos_treebanks-8gpu: 6 jobs
a19="$(submit --array=4-5,10-11,16-17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-llama_2_70b-udpos_treebanks-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-udpos_treebanks-8gpu "$a19"

# 2-llama_2_70b-xnli-8gpu: 6 jobs
a20="$(submit --array=4-5,10-11,16-17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-llama_2_70b-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-xnli-8gpu "$a20"

# 2-llama_2_70b-xcopa-8gpu: 6 jobs
a21="$(submit --array=4-5,10-11,16-17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-llama_2_70b-xcopa-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-xcopa-8gpu "$a21"

# 2-llama_2_70b-pan_x-8gpu: 6 jobs
a22="$(submit --array=4-5,10-11,16-17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-llama_2_70b-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-pan_x-8gpu "$a22"

# 2-llama_2_70b-xquad-8gpu: 6 jobs
a23="$(submit --array=4-5,10-11,16-17 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a5}" \
  "$@" slurm/2-llama_2_70b-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-xquad-8gpu "$a23"

# 3-llama_2_7b-mnli-mlqa-s1-1gpu: 1 jobs
a24="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a17}_4" \
  "$@" slurm/3-llama_2_7b-mnli-mlqa-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-llama_2_7b-mnli-mlqa-s1-1gpu "$a24"

# 3-llama_2_7b-squad_v2-mlqa-s1-1gpu: 1 jobs
a25="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a17}_5" \
  "$@" slurm/3-llama_2_7b-squad_v2-mlqa-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-llama_2_7b-squad_v2-mlqa-s1-1gpu "$a25"

# 3-llama_2_7b-mnli-mlqa-s2-1gpu: 1 jobs
a26="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a17}_10" \
  "$@" slurm/3-llama_2_7b-mnli-mlqa-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-llama_2_7b-mnli-mlqa-s2-1gpu "$a26"

# 3-llama_2_7b-squad_v2-mlqa-s2-1gpu: 1 jobs
a27="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a17}_11" \
  "$@" slurm/3-llama_2_7b-squad_v2-mlqa-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-llama_2_7b-squad_v2-mlqa-s2-1gpu "$a27"

# 3-llama_2_7b-mnli-mlqa-s3-1gpu: 1 jobs
a28="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a17}_16" \
  "$@" slurm/3-llama_2_7b-mnli-mlqa-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-llama_2_7b-mnli-mlqa-s3-1gpu "$a28"

# 3-llama_2_7b-squad_v2-mlqa-s3-1gpu: 1 jobs
a29="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a17}_17" \
  "$@" slurm/3-llama_2_7b-squad_v2-mlqa-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-llama_2_7b-squad_v2-mlqa-s3-1gpu "$a29"

# 3-llama_2_70b-mnli-mlqa-s1-1gpu: 1 jobs
a30="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a23}_4" \
  "$@" slurm/3-llama_2_70b-mnli-mlqa-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-llama_2_70b-mnli-mlqa-s1-1gpu "$a30"

# 3-llama_2_70b-squad_v2-mlqa-s1-1gpu: 1 jobs
a31="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a23}_5" \
  "$@" slurm/3-llama_2_70b-squad_v2-mlqa-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-llama_2_70b-squad_v2-mlqa-s1-1gpu "$a31"

# 3-llama_2_70b-mnli-mlqa-s2-1gpu: 1 jobs
a32="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a23}_10" \
  "$@" slurm/3-llama_2_70b-mnli-mlqa-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-llama_2_70b-mnli-mlqa-s2-1gpu "$a32"

# 3-llama_2_70b-squad_v2-mlqa-s2-1gpu: 1 jobs
a33="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a23}_11" \
  "$@" slurm/3-llama_2_70b-squad_v2-mlqa-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-llama_2_70b-squad_v2-mlqa-s2-1gpu "$a33"

# 3-llama_2_70b-mnli-mlqa-s3-1gpu: 1 jobs
a34="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a23}_16" \
  "$@" slurm/3-llama_2_70b-mnli-mlqa-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-llama_2_70b-mnli-mlqa-s3-1gpu "$a34"

# 3-llama_2_70b-squad_v2-mlqa-s3-1gpu: 1 jobs
a35="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a23}_17" \
  "$@" slurm/3-llama_2_70b-squad_v2-mlqa-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-llama_2_70b-squad_v2-mlqa-s3-1gpu "$a35"
