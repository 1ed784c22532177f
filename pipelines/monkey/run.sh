#!/usr/bin/env bash
# Photographs under one light each to a relit turntable. Run it again to go on after an interruption.
#
#   pipelines/monkey/run.sh PHOTOGRAPHS MAP [FOLDER]       default out/monkey
#
# PHOTOGRAPHS is the folder of the 121 pictures, MAP any lat-long .hdr or .exr.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 2 ]; then
    echo "usage: $0 PHOTOGRAPHS MAP [FOLDER]" >&2
    exit 2
fi
photographs=$1
map=$2
out=${3:-out/monkey}
mkdir -p "$out"

if [ ! -e "$out/monkey.olat.h5" ]; then
    olatkit import "$photographs" -m "$here/manifest.yaml" -o "$out/monkey.olat.h5"
fi
# All lamps stand in front: light from elsewhere is left out. The head is pure red and blue, which count as dark by
# luminance, and a map with light on one side is far above its mean there: less exposure than the rule gives. If it is
# still too much for a map, the command says which exposure is not.
olatkit render "$out/monkey.olat.h5" --envmap "$map" -o "$out/turntable.mp4" --turntable 72 --max-angle 20 --exposure -2.5 \
    --overwrite
olatkit normals "$out/monkey.olat.h5" -o "$out/maps" --exposure -1.7 --overwrite

echo
echo "video:   $out/turntable.mp4"
echo "maps:    $out/maps"
echo "report:  $out/monkey.report.html"
