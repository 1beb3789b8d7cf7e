#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# The first process of the guest that QEMU starts in the machine. The kernel has
# taken a DHCP lease (ip=dhcp) through the passed-through network card; says
# what it is, pings the gateway and switches the guest off. client-host.sh looks
# for the lines that begin with "client:".
PINGS=5

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys

address=$(ip -4 addr show scope global | sed -n 's/^ *inet \([^ ]*\).*/\1/p')
gateway=$(ip route | sed -n 's/^default via \([^ ]*\).*/\1/p')
if grep -q 'PROTO: DHCP' /proc/net/pnp && [ -n "$address$gateway" ]; then
	echo "client: lease $address gateway $gateway"
	# More than a page: a packet that needs several entries.
	if ping -c $PINGS "$gateway" && ping -c $PINGS -s 9000 "$gateway"; then
		echo 'client: pings answered'
	fi
fi
# Time for the host to read the counters of a guest that still is.
echo 'client: end'
sleep 2
poweroff -f
