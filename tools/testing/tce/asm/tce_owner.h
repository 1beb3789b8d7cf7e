/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/mm.h>
#include "../../../../arch/powerpc/include/asm/tce_owner.h"
