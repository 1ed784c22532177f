#!/usr/bin/env bash
# A training set of simulated actors, a network trained on it, and its errors on people and light it has never seen.
#
#   pipelines/simulated_training_set/run.sh MAPS [FOLDER]       default out/simulated_training_set
#
# MAPS is a folder with .hdr and .exr environment maps. Run it again to go on after an interruption: takes, shards and
# checkpoints are kept. SUBJECTS, TESTS, IMAGESETS and SIZE (pixels) make the set larger, CONFIG names other settings of
# the training, DEVICE=cuda renders and trains on a GPU.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
maps=${1:?give a folder of environment maps}
out=${2:-out/simulated_training_set}
device=${DEVICE:-cpu}
mkdir -p "$out"

# The actors: imagesets as a perfect stage would give them, and their true labels.
olatkit simulate "$out/takes" --subjects "${SUBJECTS:-92}" --test-subjects "${TESTS:-4}" \
    --imagesets "${IMAGESETS:-12}" --size "${SIZE:-128}" --device "$device"

# The light: a third of the maps is held out, by whole scenes.
if [ ! -e "$out/bank.h5" ]; then
    olatkit bank build "$maps" -o "$out/bank.h5"
fi

# Shards; shards.yaml says which actors are for tests.
truths=("$out"/takes/*.truth.h5)
olatkit build-shards "$out"/takes/*.olat.h5 "${truths[@]/#/--truth=}" --config "$out/takes/shards.yaml" \
    --bank "$out/bank.h5" -o "$out/shards"

# The network, on one thread: on a busy machine threads of such small layers wait for each other. A larger one wants more.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
olatkit train "$out/shards" --config "${CONFIG:-$here/train.yaml}" --device "$device" -o "$out/run" --resume

# How good it is beside the unchanged input and the mean picture.
olatkit evaluate "$out/run" "$out/shards" --device "$device" -o "$out/evaluation" --overwrite

echo
echo "table:    $out/evaluation/table.md"
echo "pictures: $out/evaluation/pictures.png"
