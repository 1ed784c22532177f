#!/usr/bin/env bash
# Simulate a take, ingest it and relight it; make shards of it and train a small network on them for a minute. Run it
# again to go on after an interruption: whole files are kept.
#
#   pipelines/simulated_stage/run.sh [FOLDER]       default out/simulated_stage
#
# SIZE (pixels) and DURATION (seconds) make it larger or longer; ARGS_SIMULATE adds options of `olatkit simulate`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-out/simulated_stage}
size=${SIZE:-192}
duration=${DURATION:-0.28}
mkdir -p "$out"

# The stage: lights and lighting cycle from this folder. simulate writes schedule.json last.
if [ ! -e "$out/stage/schedule.json" ]; then
    # shellcheck disable=SC2086
    olatkit simulate "$out/stage" --rig "$here/rig.json" --schedule "$here/schedule.json" \
        --size "$size" --seconds "$duration" --truth 1 --seed 7 --overwrite ${ARGS_SIMULATE:-}
fi

# The capture: it gets the drive of the tracking frames that the stage was set to, but not the phase.
if [ ! -e "$out/take.olat.h5" ]; then
    olatkit ingest "$out/stage/take.cine" --rig "$out/stage/rig.json" --schedule "$out/stage/schedule.json" \
        --config "$here/ingest.yaml" -o "$out/take.olat.h5"
fi

# The pictures.
if [ ! -e "$out/contact_sheet.png" ]; then
    python3 "$here/make_studio.py" "$out/studio.exr"
    olatkit render "$out/take.olat.h5" --envmap "$out/studio.exr" -o "$out/turntable.mp4" --turntable 75 --overwrite
    python3 "$here/make_contact_sheet.py" "$out/take.olat.h5" "$out/studio.exr" "$out/contact_sheet.png"
fi

# The network.
"$here/shards.sh" "$out"
"$here/train.sh" "$out"

echo
echo "picture: $out/contact_sheet.png"
echo "video:   $out/turntable.mp4"
echo "report:  $out/take.report.html"
