#!/usr/bin/env bash
# The checks and the benchmark of a card, on a machine without a network that has Python 3.12 with torch for CUDA and Triton.
#
#   bash benchmarks/offline.sh pack FOLDER          where there is a network: what the machine lacks, as FOLDER/site.tar.xz
#   bash benchmarks/offline.sh run FOLDER OUT       there, in the repository's root: tests first, then the benchmark
#
# run takes SECONDS_FOR_TESTS (150) and SECONDS_FOR_BENCHMARK (330) from the environment, writes OUT/tests.txt, OUT/gpu.txt
# and OUT/gpu.json as it goes, and stops neither at a test that fails nor at a step that does.
set -u
packages='annotated-types gguf platformdirs polars polars-runtime-32 pydantic pydantic-core rapidfuzz tokenizers transformers
  typing-inspection lazy-loader'

pack() {
  local wheels
  wheels=$(mktemp -d) || exit 1
  mkdir -p "$1" "$wheels/site"
  for name in $packages; do grep -i "^$name==" requirements.lock; done | cut -d' ' -f1 >"$wheels/names"
  python3 -m pip download -q --no-deps --python-version 3.12 --only-binary=:all: -d "$wheels" -r "$wheels/names" \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 || exit 1
  for wheel in "$wheels"/*.whl; do python3 -m zipfile -e "$wheel" "$wheels/site"; done
  tar -C "$wheels" -cJf "$1/site.tar.xz" site && du -h "$1/site.tar.xz"
  rm -r "$wheels"
}

run() {
  local site
  site=$(mktemp -d) && tar -C "$site" -xJf "$1/site.tar.xz" || exit 1
  mkdir -p "$2"
  export PYTHONPATH="$PWD/src:$PWD/tests:$site/site" MUTASCOPE_CACHE="$site/cache"
  nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
  timeout "${SECONDS_FOR_TESTS:-150}" python3 -m pytest -q -p no:cacheprovider --noconftest -o addopts= -W ignore -n 6 \
    tests/numerics/test_cuda_kernels.py tests/engine/test_cuda_engine.py tests/gpu 2>&1 | tee "$2/tests.txt" | tail -25
  timeout "$((${SECONDS_FOR_BENCHMARK:-330} + 60))" python3 -m benchmarks.gpu --seconds "${SECONDS_FOR_BENCHMARK:-330}" \
    --json "$2/gpu.json" 2>&1 | tee "$2/gpu.txt"
}

case "${1:-}" in
pack) pack "$2" ;;
run) run "$2" "$3" ;;
*) sed -n 2,9p "$0"; exit 2 ;;
esac
