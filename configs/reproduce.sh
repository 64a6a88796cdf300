#!/usr/bin/env bash
# RISF or DeFRCN over all shots and seeds, in a folder laid out as the literature lays it out:
#
#     configs/reproduce.sh                                COCO, 20 novel classes
#     NOVEL=voc1 configs/reproduce.sh                     Pascal VOC, novel set 1 (voc2, voc3)
#     METHOD=defrcn configs/reproduce.sh                  DeFRCN: cross-entropy, re-scored by PCB
#     SHOTS=10 SEEDS=0 SETTINGS=fsod configs/reproduce.sh one run
#     SETTINGS=fsod FEW_SHOT=seeds configs/reproduce.sh   few-shot figures over drawn shots
#
# Averaged as in the literature: generalised figures over the shots of SEEDS 0..9; few-shot figures over ten runs on the
# shots of seed 0, SEEDS being what all else is drawn from (runs/NOVEL/fsod-repeats). FEW_SHOT=seeds takes the shots of
# SEEDS for those too (runs/NOVEL/fsod), which says more: the spread is then that of the shots.
# The encoder is asked for the novel classes alone, in both settings.
#
# Every finished run is left alone and an interrupted one continues, so the script may be started again. LAUNCH="torchrun
# --nproc-per-node 8 -m risf_cli" trains on eight GPUs. Words in FINETUNE (such as --loss cross-entropy, DeFRCN's loss) go
# to risf finetune, words in RESCORE to risf rescore. Figures end up in runs/NOVEL/SETTING/Kshot/{detector,rescored}.json,
# those of DeFRCN in runs/NOVEL/defrcn-SETTING.
set -euo pipefail

NOVEL=${NOVEL:-coco20}
SEEDS=${SEEDS:-0 1 2 3 4 5 6 7 8 9}
SETTINGS=${SETTINGS:-fsod gfsod}
METHOD=${METHOD:-risf}
FEW_SHOT=${FEW_SHOT:-repeats}
LAUNCH=${LAUNCH:-risf}
read -r -a FINETUNE <<< "${FINETUNE:-}"
read -r -a RESCORE <<< "${RESCORE:-}"
case "$FEW_SHOT" in
repeats | seeds) ;;
*)
    echo "error: FEW_SHOT=$FEW_SHOT is unknown; give repeats (runs on the shots of seed 0) or seeds (the shots of SEEDS)" >&2
    exit 2
    ;;
esac
case "$METHOD" in
risf) prefix="" ;;
defrcn) prefix=defrcn- FINETUNE=(--loss cross-entropy ${FINETUNE[@]+"${FINETUNE[@]}"}) ;;
*)
    echo "error: METHOD=$METHOD is unknown; give risf (BNRL and CM-CLIP) or defrcn (cross-entropy and PCB)" >&2
    exit 2
    ;;
esac
rows=(--rescore-classes novel --novel "$NOVEL") # the names in the softmax: of the base classes none
data=()
evaluate=(--novel "$NOVEL" --aggregate)
case "$NOVEL" in
voc*)
    SHOTS=${SHOTS:-1 2 3 5 10}
    config=voc
    data=(--annotations datasets --images datasets/VOC2007/JPEGImages)
    evaluate+=(--annotations datasets --protocol voc)
    ;;
*)
    SHOTS=${SHOTS:-1 2 3 5 10 30}
    config=coco
    ;;
esac
split=${SPLIT:-datasets/risfsplit/$NOVEL}
root=runs/$NOVEL

[ -e "$split" ] || risf prepare-splits --novel "$NOVEL" --out "$split"
[ -e "$root/base/model_final.pth" ] || $LAUNCH base-train --config "$config/base" --split "$split" --out "$root/base" --resume

for setting in $SETTINGS; do
    generalised=() name=$setting
    if [ "$setting" = gfsod ]; then
        generalised=(--generalised)
    elif [ "$FEW_SHOT" = repeats ]; then
        name=$setting-repeats # a folder of its own: fsod holds the shots of SEEDS
    fi
    for shots in $SHOTS; do
        place=$root/$prefix$name/${shots}shot
        for seed in $SEEDS; do
            run=$place/seed$seed
            seeds=(--split-seed "$seed")
            [ "$name" != fsod-repeats ] || seeds=(--split-seed 0 --seed "$seed")
            second=() # what RISF compares crops with: names alone
            [ "$METHOD" = risf ] || second=(--preset pcb --support "$split" --shots "$shots" "${seeds[@]:0:2}")
            [ -e "$run/model_final.pth" ] || $LAUNCH finetune --config "$config/$setting" --split "$split" \
                --shots "$shots" "${seeds[@]}" ${generalised[@]+"${generalised[@]}"} --weights "$root/base" --out "$run" \
                --resume ${FINETUNE[@]+"${FINETUNE[@]}"}
            [ -e "$run/detections.json" ] || $LAUNCH predict --weights "$run" ${data[@]+"${data[@]}"} --out "$run/detections.json"
            [ -e "$run/rescored.json" ] || $LAUNCH rescore "$run/detections.json" ${data[@]+"${data[@]}"} \
                "${rows[@]}" ${second[@]+"${second[@]}"} --out "$run/rescored.json" ${RESCORE[@]+"${RESCORE[@]}"}
        done
        risf evaluate "$place"/seed*/detections.json "${evaluate[@]}" --out "$place/detector.json"
        risf evaluate "$place"/seed*/rescored.json "${evaluate[@]}" --out "$place/rescored.json"
    done
done
