#!/usr/bin/env bash
# Submits study llama-7b-70b to Slurm by hand: 139 jobs in 22 arrays. Words given here are passed on to sbatch.
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

# 1-llama_2_7b-8gpu: 24 jobs
a1="$(submit --array=0-23 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-llama_2_7b-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-llama_2_7b-8gpu "$a1"

# 1-llama_2_70b-8gpu: 24 jobs
a2="$(submit --array=0-23 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a0}" \
  "$@" slurm/1-llama_2_70b-8gpu.sbatch)"
printf 'submitted %s as %s\n' 1-llama_2_70b-8gpu "$a2"

# 2-llama_2_70b-none-mlqa-s1-1gpu: 1 jobs
a3="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_4" \
  "$@" slurm/2-llama_2_70b-none-mlqa-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-none-mlqa-s1-1gpu "$a3"

# 2-llama_2_7b-none-mlqa-s1-1gpu: 1 jobs
a4="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a1}_4" \
  "$@" slurm/2-llama_2_7b-none-mlqa-s1-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-none-mlqa-s1-1gpu "$a4"

# 2-llama_2_70b-none-mlqa-s2-1gpu: 1 jobs
a5="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_12" \
  "$@" slurm/2-llama_2_70b-none-mlqa-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-none-mlqa-s2-1gpu "$a5"

# 2-llama_2_7b-none-mlqa-s2-1gpu: 1 jobs
a6="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a1}_12" \
  "$@" slurm/2-llama_2_7b-none-mlqa-s2-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-none-mlqa-s2-1gpu "$a6"

# 2-llama_2_70b-none-mlqa-s3-1gpu: 1 jobs
a7="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a2}_20" \
  "$@" slurm/2-llama_2_70b-none-mlqa-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-none-mlqa-s3-1gpu "$a7"

# 2-llama_2_7b-none-mlqa-s3-1gpu: 1 jobs
a8="$(submit --array=0 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a1}_20" \
  "$@" slurm/2-llama_2_7b-none-mlqa-s3-1gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-none-mlqa-s3-1gpu "$a8"

# 2-llama_2_7b-mnli-s1-8gpu: 6 jobs
a9="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a1}_6" \
  "$@" slurm/2-llama_2_7b-mnli-s1-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-mnli-s1-8gpu "$a9"

# 2-llama_2_7b-squad_v2-s1-8gpu: 6 jobs
a10="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a1}_7" \
  "$@" slurm/2-llama_2_7b-squad_v2-s1-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-squad_v2-s1-8gpu "$a10"

# 2-llama_2_7b-mnli-s2-8gpu: 6 jobs
a11="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a1}_14" \
  "$@" slurm/2-llama_2_7b-mnli-s2-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-mnli-s2-8gpu "$a11"

# 2-llama_2_7b-squad_v2-s2-8gpu: 6 jobs
a12="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a1}_15" \
  "$@" slurm/2-llama_2_7b-squad_v2-s2-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-squad_v2-s2-8gpu "$a12"

# 2-llama_2_7b-mnli-s3-8gpu: 6 jobs
a13="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a1}_22" \
  "$@" slurm/2-llama_2_7b-mnli-s3-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-mnli-s3-8gpu "$a13"

# 2-llama_2_7b-squad_v2-s3-8gpu: 6 jobs
a14="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a1}_23" \
  "$@" slurm/2-llama_2_7b-squad_v2-s3-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_7b-squad_v2-s3-8gpu "$a14"

# 2-llama_2_70b-mnli-s1-8gpu: 6 jobs
a15="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a2}_6" \
  "$@" slurm/2-llama_2_70b-mnli-s1-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-mnli-s1-8gpu "$a15"

# 2-llama_2_70b-squad_v2-s1-8gpu: 6 jobs
a16="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a2}_7" \
  "$@" slurm/2-llama_2_70b-squad_v2-s1-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-squad_v2-s1-8gpu "$a16"

# 2-llama_2_70b-mnli-s2-8gpu: 6 jobs
a17="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a2}_14" \
  "$@" slurm/2-llama_2_70b-mnli-s2-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-mnli-s2-8gpu "$a17"

# 2-llama_2_70b-squad_v2-s2-8gpu: 6 jobs
a18="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a2}_15" \
  "$@" slurm/2-llama_2_70b-squad_v2-s2-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-squad_v2-s2-8gpu "$a18"

# 2-llama_2_70b-mnli-s3-8gpu: 6 jobs
a19="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a2}_22" \
  "$@" slurm/2-llama_2_70b-mnli-s3-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-mnli-s3-8gpu "$a19"

# 2-llama_2_70b-squad_v2-s3-8gpu: 6 jobs
a20="$(submit --array=0-5 \
  --kill-on-invalid-dep=yes --dependency="afterok:${a2}_23" \
  "$@" slurm/2-llama_2_70b-squad_v2-s3-8gpu.sbatch)"
printf 'submitted %s as %s\n' 2-llama_2_70b-squad_v2-s3-8gpu "$a20"

# 3-mlqa-1gpu: 12 jobs
a21="$(submit --array=0-11 \
  --kill-on-invalid-dep=yes --dependency="afterany:${a15}_4,afterany:${a16}_4,afterany:${a9}_4,afterany:${a10}_4,afterany:${a17}_4,afterany:${a18}_4,afterany:${a11}_4,afterany:${a12}_4,afterany:${a19}_4,afterany:${a20}_4,afterany:${a13}_4,afterany:${a14}_4" \
  "$@" slurm/3-mlqa-1gpu.sbatch)"
printf 'submitted %s as %s\n' 3-mlqa-1gpu "$a21"
