/* SPDX-License-Identifier: GPL-2.0-or-later */
#define __KERNEL__
#include "../../../../arch/powerpc/include/asm/tce.h"
#undef __KERNEL__
