#!/usr/bin/env bash
# Submits study bloom-ladder to Slurm by hand: 415 jobs in 24 arrays. Words given here are passed on to sbatch.
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

# 1-jobs-8gpu: 96 jobs
a1="$(submit --array=0-95 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-jobs-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-jobs-8gpu "$a1"

# 1-bloom_7b1-8gpu: 24 jobs
a2="$(submit --array=0-23 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-bloom_7b1-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-bloom_7b1-8gpu "$a2"

# 1-bloom_176b-8x8gpu: 24 jobs
a3="$(submit --array=0-23 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-bloom_176b-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-bloom_176b-8x8gpu "$a3"

# 2-none-mlqa-1gpu: 18 jobs
a4="$(submit --array=0-17 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a3}_4,afterany:${a3}_12,afterany:${a3}_20,afterany:${a2}_4,afterany:${a2}_12,afterany:${a2}_20,afterany:${a1}" \
  "$@" slurm/2-none-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-none-mlqa-1gpu "$a4"

# 2-xnli-8gpu: 24 jobs
a5="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47,54-55,62-63,70-71,78-79,86-87,94-95 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xnli-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xnli-8gpu "$a5"

# 2-paws_x-8gpu: 24 jobs
a6="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47,54-55,62-63,70-71,78-79,86-87,94-95 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-paws_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-paws_x-8gpu "$a6"

# 2-udpos-8gpu: 24 jobs
a7="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47,54-55,62-63,70-71,78-79,86-87,94-95 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-udpos-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-udpos-8gpu "$a7"

# 2-pan_x-8gpu: 24 jobs
a8="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47,54-55,62-63,70-71,78-79,86-87,94-95 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-pan_x-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-pan_x-8gpu "$a8"

# 2-xquad-8gpu: 24 jobs
a9="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47,54-55,62-63,70-71,78-79,86-87,94-95 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-xquad-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-xquad-8gpu "$a9"

# 2-tydiqa_goldp-8gpu: 24 jobs
a10="$(submit --array=6-7,14-15,22-23,30-31,38-39,46-47,54-55,62-63,70-71,78-79,86-87,94-95 \
  --kill-on-invalid-dep=yes --dependency="aftercorr:${a1}" \
  "$@" slurm/2-tydiqa_goldp-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-tydiqa_goldp-8gpu "$a10"

# 2-bloom_7b1-mnli-s1-8gpu: 6 jobs
a11="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a2}_6" \
  "$@" slurm/2-bloom_7b1-mnli-s1-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_7b1-mnli-s1-8gpu "$a11"

# 2-bloom_7b1-squad_v2-s1-8gpu: 6 jobs
a12="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a2}_7" \
  "$@" slurm/2-bloom_7b1-squad_v2-s1-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_7b1-squad_v2-s1-8gpu "$a12"

# 2-bloom_7b1-mnli-s2-8gpu: 6 jobs
a13="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a2}_14" \
  "$@" slurm/2-bloom_7b1-mnli-s2-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_7b1-mnli-s2-8gpu "$a13"

# 2-bloom_7b1-squad_v2-s2-8gpu: 6 jobs
a14="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a2}_15" \
  "$@" slurm/2-bloom_7b1-squad_v2-s2-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_7b1-squad_v2-s2-8gpu "$a14"

# 2-bloom_7b1-mnli-s3-8gpu: 6 jobs
a15="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a2}_22" \
  "$@" slurm/2-bloom_7b1-mnli-s3-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_7b1-mnli-s3-8gpu "$a15"

# 2-bloom_7b1-squad_v2-s3-8gpu: 6 jobs
a16="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a2}_23" \
  "$@" slurm/2-bloom_7b1-squad_v2-s3-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_7b1-squad_v2-s3-8gpu "$a16"

# 2-bloom_176b-mnli-s1-8x8gpu: 6 jobs
a17="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a3}_6" \
  "$@" slurm/2-bloom_176b-mnli-s1-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-mnli-s1-8x8gpu "$a17"

# 2-bloom_176b-squad_v2-s1-8x8gpu: 6 jobs
a18="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a3}_7" \
  "$@" slurm/2-bloom_176b-squad_v2-s1-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-squad_v2-s1-8x8gpu "$a18"

# 2-bloom_176b-mnli-s2-8x8gpu: 6 jobs
a19="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a3}_14" \
  "$@" slurm/2-bloom_176b-mnli-s2-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-mnli-s2-8x8gpu "$a19"

# 2-bloom_176b-squad_v2-s2-8x8gpu: 6 jobs
a20="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a3}_15" \
  "$@" slurm/2-bloom_176b-squad_v2-s2-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-squad_v2-s2-8x8gpu "$a20"

# 2-bloom_176b-mnli-s3-8x8gpu: 6 jobs
a21="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a3}_22" \
  "$@" slurm/2-bloom_176b-mnli-s3-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-mnli-s3-8x8gpu "$a21"

# 2-bloom_176b-squad_v2-s3-8x8gpu: 6 jobs
a22="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a3}_23" \
  "$@" slurm/2-bloom_176b-squad_v2-s3-8x8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-bloom_176b-squad_v2-s3-8x8gpu "$a22"

# 3-mlqa-1gpu: 36 jobs
a23="$(submit --array=0-35 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a17}_4,afterany:${a18}_4,afterany:${a11}_4,afterany:${a12}_4,afterany:${a9},afterany:${a19}_4,afterany:${a20}_4,afterany:${a13}_4,afterany:${a14}_4,afterany:${a21}_4,afterany:${a22}_4,afterany:${a15}_4,afterany:${a16}_4" \
  "$@" slurm/3-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-mlqa-1gpu "$a23"
