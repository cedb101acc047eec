#!/bin/sh
# Makes the clip of the demo origin from ffmpeg's synthetic sources; nothing in it is anybody's work but this script's.
#
# 16 s, so that both are whole: 480 video frames at 30/s (8 closed GOPs of 2 s) and 750 AAC frames of 1024 samples at 48 kHz.
# Each frame shows a running clock, the frame number and a colour that changes each second; a white square flashes for three
# frames on the second, when the tone (a new pitch each second) sounds for 100 ms.
# The lowest ninth of the picture is a row of 16 blocks (each W/16 x H/9) for machines: white, black, then the frame number
# in 14 bits, most significant first, white for 1. Luma above 128 in the middle of a block is white.
#
# The tone is encoded three times over and the middle 750 frames are kept: the encoder is then in the same state at both ends,
# its priming is gone, and the last frame overlaps rightly with the first. No B frames, so that decode order is display order.
# Needs ffmpeg with libx264 (Debian's), DejaVu fonts. Writes v0 v1 v2 (H.264) and a0 (AAC) .mp4 beside itself: fragmented
# MP4, one CMAF chunk each 1/3 s, no edit lists.
set -eu
cd "$(dirname "$0")"
font=/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf
seconds=16 fps=30

blocks() { # the row of 16 blocks, as drawbox filters
  printf "drawbox=x=0:y=ih-ih/9:w=iw:h=ih/9:color=black:t=fill,drawbox=x=0:y=ih-ih/9:w=iw/16:h=ih/9:color=white:t=fill"
  for bit in 13 12 11 10 9 8 7 6 5 4 3 2 1 0; do
    printf ",drawbox=x=iw/16*%d:y=ih-ih/9:w=iw/16:h=ih/9:color=white:t=fill:enable='gte(mod(n\\,%d)\\,%d)'" \
      $((15 - bit)) $((1 << (bit + 1))) $((1 << bit))
  done
}

video() { # name width height kbit/s
  ffmpeg -v error -y -f lavfi -i "testsrc2=s=$2x$3:r=$fps:d=$seconds" -vf "
    hue=h=22.5*floor(t):s=0.6,
    drawbox=x=iw*0.14:y=ih*0.2:w=iw*0.72:h=ih*0.42:color=black@0.75:t=fill,
    drawtext=fontfile=$font:fontsize=h/7:fontcolor=white:x=(w-tw)/2:y=h*0.23:text='%{pts\\:hms}',
    drawtext=fontfile=$font:fontsize=h/7:fontcolor=yellow:x=(w-tw)/2:y=h*0.43:text='frame %{eif\\:n\\:d\\:3}',
    drawbox=x=iw*0.88:y=ih*0.05:w=ih*0.1:h=ih*0.1:color=white:t=fill:enable='lt(mod(n\\,$fps)\\,3)',
    $(blocks),format=yuv420p" \
    -c:v libx264 -profile:v main -preset veryslow -threads 1 -b:v "$4k" -maxrate "$4k" -bufsize "$(($4 * 2))k" \
    -x264-params "keyint=60:min-keyint=60:scenecut=0:bframes=0:open-gop=0:ref=2" \
    -bsf:v filter_units=remove_types=6 -flags +bitexact -fflags +bitexact -map_metadata -1 -video_track_timescale 90000 \
    -movflags +cmaf+empty_moov+default_base_moof+skip_trailer -frag_duration 333333 -use_editlist 0 -f mp4 "$1.mp4"
}

audio() { # name kbit/s
  ffmpeg -v error -y -f lavfi -i "aevalsrc='0.4*sin(2*PI*(400+40*floor(mod(t\\,$seconds)))*t)*lt(mod(t\\,1)\\,0.1)':s=48000:d=$((3 * seconds))" \
    -c:a aac -b:a "$2k" -ac 1 -flags +bitexact -fflags +bitexact \
    -bsf:a "noise=drop='lt(n\\,751)+gte(n\\,1501)',setts=pts=N*1024:dts=N*1024" -map_metadata -1 \
    -movflags +cmaf+empty_moov+default_base_moof+skip_trailer -frag_duration 333333 -use_editlist 0 -f mp4 "$1.mp4"
}

video v0 640 360 420
video v1 384 216 170
video v2 256 144 80
audio a0 48
ls -l ./*.mp4
