#!/usr/bin/env bash
# Shards of the take that run.sh made, ready for training: labels, flow, a bank of studios, pictures of all of it.
#
#   pipelines/simulated_stage/shards.sh [FOLDER]       default out/simulated_stage
#
# Run it again to go on after an interruption. ARGS_SHARDS adds options of `olatkit build-shards`, such as --bake 4.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-out/simulated_stage}
size=$((${SIZE:-192} / 32 * 32))
if [ ! -e "$out/take.olat.h5" ]; then
    echo "$out/take.olat.h5 is missing; run pipelines/simulated_stage/run.sh $out first" >&2
    exit 1
fi

# The lightings that samples are drawn from, a third of them kept for tests; a training of your own wants hundreds.
if [ ! -e "$out/bank.h5" ]; then
    python3 "$here/make_studio.py" "$out/maps" 12
    olatkit bank build "$out/maps" -o "$out/bank.h5"
fi

# index.json is written last: with it the set is whole.
if [ ! -e "$out/shards/index.json" ]; then
    # shellcheck disable=SC2086
    olatkit build-shards "$out/take.olat.h5" --bank "$out/bank.h5" --size "$size" -o "$out/shards" \
        --set labels.parsing=foreground --set matte=false ${ARGS_SHARDS:-}
    olatkit shards verify "$out/shards"
fi
if [ ! -e "$out/look/take.mp4" ]; then
    olatkit shards info "$out/shards"
    olatkit shards show "$out/shards" -o "$out/look" --overwrite
fi

echo
echo "shards:  $out/look/take.png"
echo "         $out/look/take.mp4"
