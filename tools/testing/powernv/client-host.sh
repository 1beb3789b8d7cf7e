#!/tests/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs a real client of VFIO in the test machine (see client.py): Debian's QEMU or
# DPDK on the disk, with the machine's network card. Results go to standard
# output, all else into the kernel log. Exit status 0 when the card
# has worked for the client.
#
# client-host.sh qemu [WORD...]    words for the guest's kernel
# client-host.sh dpdk [hugepages]
# client-host.sh plays NAME...     see client_plays.py
ROOT=/tmp/root
DISKS='/dev/nvme*n1'
VENDOR=0x8086
SAMPLES=5
UPTIME=/proc/uptime

die() {
	echo "FAILED: $*"
	exit 1
}

log() {
	echo "<5>$1: $2" >/dev/kmsg
}

# Sets the variable $1 to the time since boot, in 1/100 s, without a fork. A
# number that begins with 0, as 0.98 does here, is octal: 1 goes before it.
clock() {
	local up rest
	read -r up rest <$UPTIME
	eval "$1=$((${up%.*} * 100 + 1${up#*.} - 100))"
}

# Shows the time between $2 and $3.
seconds() {
	local t=$(($3 - $2))
	printf '%s %d.%02d s\n' "$1" $((t / 100)) $((t % 100))
}

mount_root() {
	local d
	mkdir -p $ROOT
	for d in $DISKS; do
		mount -t ext4 "$d" $ROOT && break
	done
	[ -d $ROOT/usr ] || die "no disk $DISKS"
	for d in dev proc sys tests; do
		mkdir -p $ROOT/$d
		mount -o rbind /$d $ROOT/$d || die "cannot mount $d"
	done
	mkdir -p $ROOT/tmp $ROOT/run $ROOT/var/run
}

# Takes the network card from its driver. Sets card to its address.
bind_card() {
	local d
	card=
	for d in /sys/bus/pci/devices/*; do
		[ "$(cat "$d/vendor")" = $VENDOR ] && card=${d##*/}
	done
	[ -n "$card" ] || die 'no network card'
	d=/sys/bus/pci/devices/$card
	[ -e "$d/driver" ] && echo "$card" >"$d/driver/unbind"
	echo vfio-pci >"$d/driver_override"
	echo "$card" >/sys/bus/pci/drivers_probe
	[ "$(basename "$(readlink "$d/driver")")" = vfio-pci ] ||
		die "vfio-pci does not take $card"
	echo "network card $card is bound to vfio-pci," \
		"IOMMU group $(basename "$(readlink "$d/iommu_group")")"
}

# --- QEMU --------------------------------------------------------------------

# The counters go with the guest.
show_counters() {
	local dir=/sys/kernel/debug/kvm early over
	[ -e $dir/tce_early ] || die 'nothing counts hypercalls'
	read -r early <$dir/tce_early
	read -r over <$dir/tce_handed_over
	echo "TCE hypercalls: finished early $early, handed over $over"
	[ "$early" -gt "$over" ] || die 'hypercalls were not finished early'
}

watch_guest() {
	local lease='' pings='' end='' line
	while read -r line; do
		line=${line%$'\r'}
		log guest "$line"
		case $line in
		'client: lease '*) lease=1 ;;
		'client: pings answered') pings=1 ;;
		'client: end')
			end=1
			show_counters
			;;
		'Linux version '*) echo 'guest: kernel started' ;;
		*dma-windows'('* | *'dma-window('* | *IP-Config:* | *hwaddr=* | \
		*' bytes from '* | PING* | *packets\ transmitted*)
			echo "guest: $line" ;;
		'qemu-system-ppc64: '*) echo "$line" ;;
		'client-status 0') ;;
		client-status*) die "QEMU ended with ${line#client-}" ;;
		esac
	done
	[ -n "$lease" ] || die 'no lease seen'
	[ -n "$pings" ] || die 'no answer to pings'
	[ -n "$end" ] || die 'the guest did not come to its end'
}

run_qemu() {
	local start end status
	broken=cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off
	clock start
	echo "starts $(chroot $ROOT /usr/bin/qemu-system-ppc64 --version | head -n 1)"
	{
		chroot $ROOT /usr/bin/qemu-system-ppc64 -M pseries,accel=kvm,$broken \
			-cpu host -m 512M -nodefaults -nographic -vga none \
			-serial stdio -no-reboot -device vfio-pci,host="$card" \
			-kernel /tests/vmlinux -initrd /tests/guest.cpio \
			-append "console=hvc0 ip=dhcp kunit.enable=0 panic=1 $*" \
			</dev/null 2>&1
		echo "client-status $?"
	} | watch_guest
	status=$?
	clock end
	seconds 'the guest ran for' "$start" "$end"
	return $status
}

# --- DPDK --------------------------------------------------------------------

# testpmd shows the counters of the card, not its own: what they count, the card
# has fetched. The first sample comes when forwarding starts.
watch_testpmd() {
	local start=$1 now packets=0 n=0 line rest stopped=''
	while read -r line; do
		log dpdk "$line"
		case $line in
		'EAL: Using IOMMU'* | 'EAL: Probe PCI'* | *Cause:* | *rror*with*)
			echo "$line" ;;
		TX-packets:*TX-bytes*)
			read -r rest packets rest <<-EOF
			$line
			EOF
			clock now
			[ $n = 0 ] && seconds 'testpmd took to start' "$start" "$now"
			;;
		Tx-pps:*)
			[ $n = 0 ] || echo "sent $packets packets," \
				"$(echo "$line" | awk '{ print $2 }') per second"
			n=$((n + 1))
			if [ $n -gt $SAMPLES ] && [ -z "$stopped" ]; then
				stopped=1
				kill -INT "$(pidof dpdk-testpmd)"
				clock start
			fi
			;;
		'client-status 0') ;;
		client-status*) die "testpmd ended with ${line#client-}" ;;
		esac
	done
	clock now
	seconds 'testpmd took to stop' "$start" "$now"
	[ "$packets" -gt 0 ] || die 'no packet was sent'
}

# Pages of 2 MiB for DPDK, where it looks for them.
huge_pages() {
	local dir=/sys/kernel/mm/hugepages/hugepages-2048kB had
	mkdir -p $ROOT/dev/hugepages
	mount -t hugetlbfs -o pagesize=2M none $ROOT/dev/hugepages ||
		die 'no huge pages of 2 MiB'
	echo 128 >$dir/nr_hugepages
	read -r had <$dir/nr_hugepages
	echo "$had huge pages of 2 MiB"
}

run_dpdk() {
	local start memory='--no-huge -m 128'
	if [ "$1" = hugepages ]; then
		memory=
		huge_pages
	fi
	clock start
	{
		chroot $ROOT /usr/bin/dpdk-testpmd -l 0,1 -n 1 $memory \
			-a "$card" -- --forward-mode=txonly --stats-period 2 \
			--total-num-mbufs=16384 </dev/null 2>&1
		echo "client-status $?"
	} | watch_testpmd $start
}

run_plays() {
	chroot $ROOT /usr/bin/python3 /tests/client_plays.py "$@"
}

/tests/busybox --install -s /tests
mount_root
what=$1
shift
[ "$what" = plays ] || bind_card
"run_$what" "$@"
