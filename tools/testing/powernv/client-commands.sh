#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# The first process of a guest in a play (see client_plays.py): does what comes
# as lines "NUMBER COMMAND" from the console, and answers with what the command
# printed and with "client: done NUMBER STATUS". It answers by the kernel's log,
# where no line is cut by another.
TOOL=/bin/client-traffic

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /tmp

say() {
	echo "<4>client: $*" >/dev/kmsg
}

# The network device of a PCI device, when its driver has made it: 10 s.
netdev() {
	local n=0
	while [ ! -d /sys/bus/pci/devices/$1/net ]; do
		n=$((n + 1))
		[ $n -lt 100 ] || return 1
		sleep 0.1
	done
	ls /sys/bus/pci/devices/$1/net
}

# up PCI ADDRESS: gives the card an address and waits for its link, 20 s.
up() {
	local dev n=0
	dev=$(netdev $1) || return 1
	ifconfig $dev $2 netmask 255.255.255.0 up || return 1
	while [ "$(cat /sys/class/net/$dev/carrier)" != 1 ]; do
		n=$((n + 1))
		[ $n -lt 200 ] || return 1
		sleep 0.1
	done
}

# flood PCI ADDRESS SECONDS [SIZE]: in the foreground
flood() {
	local dev
	dev=$(netdev $1) || return 1
	shift
	$TOOL flood $dev "$@"
}

# flood_on NAME PCI ADDRESS [SIZE]: goes on until flood_off NAME
flood_on() {
	local dev name=$1
	dev=$(netdev $2) || return 1
	$TOOL flood $dev $3 3600 $4 >/tmp/flood.$name 2>&1 &
	echo $! >/tmp/flood.$name.pid
}

flood_off() {
	local pid
	pid=$(cat /tmp/flood.$1.pid)
	kill -TERM $pid
	wait $pid
	pid=$?
	cat /tmp/flood.$1
	return $pid
}

# plug DRC: takes a PCI device that was plugged, and looks for it
plug() {
	$TOOL indicator 9001 $1 1 || return 1
	echo "dt add index $1" >/sys/kernel/dlpar || return 1
	echo 1 >/sys/bus/pci/rescan
}

# unplug PCI DRC: gives it back
unplug() {
	[ ! -e /sys/bus/pci/devices/$1 ] ||
		echo 1 >/sys/bus/pci/devices/$1/remove
	echo "dt remove index $2" >/sys/kernel/dlpar || return 1
	$TOOL indicator 9001 $2 0
}

# plug_phb N, unplug_phb N PCI...: a host bridge, the latter with its cards
plug_phb() {
	$TOOL indicator 9003 $((0x20000000 + $1)) 1 &&
		$TOOL indicator 9001 $((0x20000000 + $1)) 1 &&
		echo "dt add index $((0x20000000 + $1))" >/sys/kernel/dlpar &&
		echo "PHB $1" >/sys/bus/pci/slots/control/add_slot
}

unplug_phb() {
	local n=$1 d
	shift
	for d in "$@"; do
		echo 1 >/sys/bus/pci/devices/$d/remove
	done
	echo "PHB $n" >/sys/bus/pci/slots/control/remove_slot &&
		echo "dt remove index $((0x20000000 + n))" >/sys/kernel/dlpar &&
		$TOOL indicator 9001 $((0x20000000 + n)) 0 &&
		$TOOL indicator 9003 $((0x20000000 + n)) 0
}

# Pages, free ones of memory that can be taken away
movable_free() {
	awk '/zone *Movable/ { m = 1 }
	     m && /nr_free_pages/ { print $2; m = 0 }' /proc/zoneinfo
}

# use_movable MIB: a file in pages of that, and what else there is to be had
use_movable() {
	local before after
	before=$(movable_free)
	head -c $(($1 << 20)) /dev/zero | tr '\0' 'x' >/tmp/big || return 1
	after=$(movable_free)
	echo "of $before free pages $after are left"
	[ "$after" -lt $((before - 64)) ]
}

# has_memory MIB: waits until there is as much, or as little
has_memory() {
	local n=0 kib
	while :; do
		kib=$(($(cat /sys/devices/system/memory/memory*/state |
			grep -c online) * 0x$(cat \
			/sys/devices/system/memory/block_size_bytes) >> 20))
		[ "$kib" != "$1" ] || return 0
		n=$((n + 1))
		[ $n -lt 300 ] || return 1
		sleep 0.1
	done
}

# page_shift PHB-NODE: of the 64-bit window that the guest has made, log2
page_shift() {
	local p
	for p in /proc/device-tree/pci@*/linux,d*64-ddr-window-info; do
		hexdump -s 16 -n 4 -e '4/1 "%02x" "\n"' $p
	done
}

exec </dev/console
stty -echo 2>/dev/null
say ready
while read -r number command; do
	eval "$command" >/tmp/answer 2>&1
	status=$?
	while read -r line; do
		say "$line"
	done </tmp/answer
	say "done $number $status"
done
