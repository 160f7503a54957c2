#!/usr/bin/env bash
# Creates build/peers-venv with the newest PyTorch and Keras/TensorFlow; safe to run again.
#
# The torch wheel of PyPI is the CUDA build and does not load without its CUDA libraries: about 7 GB are installed.
# Where another index with the small CPU build can be reached, name it: TORCH_INDEX=URL bench/peers/setup.sh.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv=${1:-$root/build/peers-venv}
python=${PYTHON:-python3}

if [[ ! -x $venv/bin/pip ]]; then
  free_kb=$(mkdir -p "$venv" && df --output=avail -k "$venv" | tail -n 1)
  if ((free_kb < 10 * 1024 * 1024)) && [[ -z ${TORCH_INDEX:-} ]]; then
    echo "setup.sh: $venv has $((free_kb / 1024 / 1024)) GB free; the wheels need 10 GB" >&2
    exit 1
  fi
  "$python" -m venv "$venv"
fi

"$venv/bin/pip" install --quiet ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
"$venv/bin/pip" install --quiet numpy tensorflow-cpu keras

export CUDA_VISIBLE_DEVICES='' TF_CPP_MIN_LOG_LEVEL=3
"$venv/bin/python" -c 'import torch; print("torch", torch.__version__)'
"$venv/bin/python" -c 'import keras, tensorflow as tf; print("keras", keras.__version__, "tf", tf.__version__)' \
  2>/dev/null
