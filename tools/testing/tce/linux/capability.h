/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _FUZZ_LINUX_CAPABILITY_H
#define _FUZZ_LINUX_CAPABILITY_H

#define CAP_IPC_LOCK	14
#define capable(cap)	false

#endif /* _FUZZ_LINUX_CAPABILITY_H */
