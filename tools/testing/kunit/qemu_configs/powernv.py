# SPDX-License-Identifier: GPL-2.0
"""A POWER9 host without a hypervisor below it, little-endian."""
from ..qemu_config import QemuArchParams

QEMU_ARCH = QemuArchParams(linux_arch='powerpc',
			   kconfig='''
CONFIG_PPC64=y
CONFIG_PPC_BOOK3S_64=y
CONFIG_CPU_LITTLE_ENDIAN=y
CONFIG_PPC_64K_PAGES=y
CONFIG_PPC_POWERNV=y
CONFIG_HVC_OPAL=y
CONFIG_POWER_RESET=y''',
			   qemu_arch='ppc64',
			   kernel_path='vmlinux',
			   kernel_command_line='console=hvc0',
			   # Firmware has a service processor reboot the host.
			   extra_qemu_params=[
					   '-M', 'powernv9',
					   '-device', 'ipmi-bmc-sim,id=bmc0',
					   '-device', 'isa-ipmi-bt,bmc=bmc0,irq=10'])
