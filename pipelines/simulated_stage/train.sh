#!/usr/bin/env bash
# A minute of training on the shards that shards.sh made, and what came of it: input, target and what the network answers.
#
#   pipelines/simulated_stage/train.sh [FOLDER]        default out/simulated_stage
#
# Run it again to go on after an interruption. ARGS_TRAIN adds options of `olatkit train`, such as --set steps=5000.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-out/simulated_stage}
if [ ! -e "$out/shards/index.json" ]; then
    echo "$out/shards is missing; run pipelines/simulated_stage/shards.sh $out first" >&2
    exit 1
fi

# On a busy machine threads of such small layers wait for each other, and a step takes far longer; one does not wait.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
if [ ! -e "$out/learned.png" ]; then
    # shellcheck disable=SC2086
    olatkit train "$out/shards" --config "$here/train.yaml" -o "$out/run" --resume ${ARGS_TRAIN:-}
    python3 "$here/show_training.py" "$out/shards" "$out/run" "$out/learned.png"
fi

echo
echo "network: $out/run"
echo "learned: $out/learned.png"
