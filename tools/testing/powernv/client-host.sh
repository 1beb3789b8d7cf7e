#!/tests/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs a real client of VFIO in the test machine (see client.py): Debian's QEMU or
# DPDK on the disk, with the machine's network card. Results go to standard
# output, all else into the kernel log. Exit status 0 when the card
# has worked for the client.
#
# client-host.sh qemu [WORD...]    words for the guest's kernel
# client-host.sh nvme BEFORE AFTER sums of a disk, see run_nvme
# client-host.sh dpdk [hugepages] [type1]
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
		mount -t ext4 "$d" $ROOT && root_disk=${d##*/} && break
	done
	[ -d $ROOT/usr ] || die "no disk $DISKS"
	for d in dev proc sys tests; do
		mkdir -p $ROOT/$d
		mount -o rbind /$d $ROOT/$d || die "cannot mount $d"
	done
	mkdir -p $ROOT/tmp $ROOT/run $ROOT/var/run
}

# Takes a device from its driver and gives it to vfio-pci.
give_away() {
	local d=/sys/bus/pci/devices/$1
	[ -e "$d/driver" ] && echo "$1" >"$d/driver/unbind"
	echo vfio-pci >"$d/driver_override"
	echo "$1" >/sys/bus/pci/drivers_probe
	[ "$(basename "$(readlink "$d/driver")")" = vfio-pci ] ||
		die "vfio-pci does not take $1"
	echo "$1 is bound to vfio-pci," \
		"IOMMU group $(basename "$(readlink "$d/iommu_group")")"
}

# Sets card to the address of the network card, and gives it away.
bind_card() {
	local d
	card=
	for d in /sys/bus/pci/devices/*; do
		[ "$(cat "$d/vendor")" = $VENDOR ] && card=${d##*/}
	done
	[ -n "$card" ] || die 'no network card'
	give_away "$card"
}

# Runs a program of the disk that finds /dev/iommu in the place of
# /dev/vfio/vfio, in a mount namespace of its own.
with_iommufd() {
	# shellcheck disable=SC2016
	unshare -m sh -c 'mount -o bind /dev/iommu "$0/dev/vfio/vfio" &&
		exec chroot "$0" "$@"' $ROOT "$@"
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

# --- QEMU's own driver of NVMe disks -----------------------------------------

# Sets disk to the address of the disk that the programs are not on.
find_disk() {
	local d
	disk=
	for d in /sys/class/nvme/nvme*; do
		[ -e "$d/$root_disk" ] || disk=$(basename "$(readlink "$d/device")")
	done
	[ -n "$disk" ] || die 'no disk to give away'
}

expect_sum() {
	local sum
	sum=$(sha256sum "$2")
	[ "${sum%% *}" = "$1" ] || die "$3 reads ${sum%% *}, not $1"
	echo "$3 reads what is there"
}

# The host's own driver finds the disk as it was left.
give_back() {
	local d=/sys/bus/pci/devices/$disk n=0 file
	echo "$disk" >"$d/driver/unbind"
	echo >"$d/driver_override"
	echo "$disk" >/sys/bus/pci/drivers_probe
	until file=$(ls -d "$d"/nvme/nvme*/nvme*n1) 2>/dev/null &&
			[ -b "/dev/${file##*/}" ]; do
		n=$((n + 1))
		[ $n -lt 100 ] || die "$disk is no disk"
		sleep 0.1
	done
	expect_sum "$1" "/dev/${file##*/}" 'the host'
}

# Sets the variable $1 to the number of pages that are pinned for long.
pinned() {
	echo 1 >/proc/sys/vm/stat_refresh
	eval "$1=$(awk '/^nr_foll_pin_acquired/ { n += $2 }
		/^nr_foll_pin_released/ { n -= $2 } END { print n }' /proc/vmstat)"
}

# By type1, as there is no other way. The disk has BEFORE; qemu-io makes it AFTER.
# In between the host has it: the emulated disk sends no interrupts to two runs of
# this driver in a row.
run_nvme() {
	local was is
	find_disk
	pinned was
	give_away "$disk"
	with_iommufd /usr/bin/qemu-img convert -f raw -O raw "nvme://$disk/1" \
		/tmp/read || die "qemu-img ended with $?"
	expect_sum "$1" $ROOT/tmp/read qemu-img
	give_back "$1"
	give_away "$disk"
	with_iommufd /usr/bin/qemu-io -f raw -c 'write -P 0xa5 4k 1M' \
		-c 'read -P 0xa5 4k 1M' -c flush "nvme://$disk/1" ||
		die "qemu-io ended with $?"
	give_back "$2"
	pinned is
	[ "$was" = "$is" ] || die "$((is - was)) pages stay pinned"
}

# --- DPDK --------------------------------------------------------------------

# testpmd shows the counters of the card, not its own: what they count, the card
# has fetched. The first sample comes when forwarding starts.
watch_testpmd() {
	local start=$1 type=$2 now packets=0 n=0 line rest stopped='' used=''
	while read -r line; do
		log dpdk "$line"
		case $line in
		'EAL: Using IOMMU'*)
			used=$line
			echo "$line"
			;;
		'EAL: Probe PCI'* | *Cause:* | *rror*with*) echo "$line" ;;
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
	[ "$used" = "EAL: Using IOMMU type $type" ] || die "not by type $type"
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
	local start memory='--no-huge -m 128' word
	local run="chroot $ROOT" type='7 (sPAPR)'
	for word; do
		case $word in
		hugepages)
			memory=
			huge_pages
			;;
		type1)
			run=with_iommufd
			type='1 (Type 1)'
			;;
		*) die "dpdk: $word" ;;
		esac
	done
	clock start
	{
		$run /usr/bin/dpdk-testpmd -l 0,1 -n 1 $memory \
			-a "$card" -- --forward-mode=txonly --stats-period 2 \
			--total-num-mbufs=16384 </dev/null 2>&1
		echo "client-status $?"
	} | watch_testpmd $start "$type"
}

run_plays() {
	chroot $ROOT /usr/bin/python3 /tests/client_plays.py "$@"
}

/tests/busybox --install -s /tests
mount_root
what=$1
shift
case $what in
plays | nvme) ;;
*) bind_card ;;
esac
"run_$what" "$@"
