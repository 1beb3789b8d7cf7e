#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Plants the faults that faults.txt lists, one at a time, in a copy of the file
# under test. The fuzzer has to find each of them, starting from the corpus.
# Called by "make selftest"; the arguments are the fuzzers.
set -u
SECONDS_EACH=120
REASON='does not hold: .*|(Address|Leak)Sanitizer: .*|runtime error: .*'
REASON+='|libFuzzer: timeout.*'

# fuzzer, number of the fault, file, sed expression
one() {
	local fuzzer=$1 nr=$2 file=$3 fault=$4 dir name why
	local flags=CFLAGS_$1 src=SRC_$1
	name=$OUTPUT/fault-$nr
	dir=$(dirname "$POWERPC/$file")
	rm -rf "$name" && mkdir -p "$name"
	# All beside the fault, because a header is looked for there first.
	cp ${!src} "$name"
	sed "$fault" "$POWERPC/$file" >"$name/$(basename "$file")"
	if cmp -s "$POWERPC/$file" "$name/$(basename "$file")"; then
		echo "not ok fault $nr does not apply: $file: $fault"
		return 1
	fi
	if ! $CC -iquote "$name" $CFLAGS ${!flags-} -iquote "$dir" \
		-o "$name/$fuzzer" "$fuzzer.c" fuzz.c "$name"/*.c; then
		echo "not ok fault $nr does not compile: $file: $fault"
		return 1
	fi
	if "$name/$fuzzer" $RUN -max_total_time=$SECONDS_EACH \
		-artifact_prefix="$name/" "$OUTPUT/$fuzzer.corpus" \
		>"$name/log" 2>&1; then
		echo "not ok fault $nr was not found: $file: $fault"
		return 1
	fi
	# A fuzzer that does not start has found nothing.
	why=$(grep -m 1 -oE "$REASON" "$name/log" | cut -c -60)
	if [ -z "$why" ]; then
		echo "not ok fault $nr ends without a reason: $name/log"
		return 1
	fi
	echo "ok fault $nr $fuzzer: $why"
}
export -f one
export SECONDS_EACH REASON

for fuzzer; do
	"$OUTPUT/$fuzzer" $RUN -runs=0 "$OUTPUT/$fuzzer.corpus" \
		>"$OUTPUT/$fuzzer.log" 2>&1 && continue
	echo "not ok $fuzzer fails without a fault: $OUTPUT/$fuzzer.log"
	exit 1
done

nr=0
while read -r fuzzer file fault; do
	case $fuzzer in '' | '#'*) continue ;; esac
	nr=$((nr + 1))
	case " $* " in *" $fuzzer "*) ;; *) continue ;; esac
	printf '%s\0' "$fuzzer" "$nr" "$file" "$fault"
done <faults.txt | xargs -0 -n 4 -P "$(nproc)" bash -c 'one "$@"' one
