/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by the tests of the spapr TCE containers: the ioctls as functions,
 * QEMU's "edu" device as the thing that does DMA, and the counters that tell
 * whether everything was given back.
 *
 * Functions that wrap a system call return what it returned, or -errno. So a
 * test that expects -EINVAL also notices a positive return, which the ABI does
 * not know. What no test is about (a missing /proc, a device that does not
 * answer) ends the program with a message.
 *
 * DMA is slow: the device takes 100 ms for each transfer of up to 4096 bytes.
 */
#ifndef SPAPR_UTIL_H
#define SPAPR_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <linux/vfio.h>

#define SZ_4K	0x1000UL
#define SZ_64K	0x10000UL
#define SZ_1M	0x100000UL
#define SZ_16M	0x1000000UL
#define SZ_1G	0x40000000UL
#define SZ_1T	(SZ_1G << 10)

/* Where the first window and the second one start on the bus. */
#define SLOT0_START	0UL
#define SLOT1_START	(1UL << 59)

extern unsigned long page_size;
extern unsigned int page_shift;

/* One edu device, and the IOMMU group that it is alone in. */
struct edu {
	char name[32];
	int group;
	int group_fd;
	int fd;
	volatile uint8_t *bar;
	uint64_t config;
};

/* Fills in one device for each IOMMU group that has one; returns how many. */
int edu_find(struct edu *edu, int max);
/* Opens the group; returns the fd. */
int edu_open_group(struct edu *edu);
/* Opens a device whose group is in a container, ready for DMA. */
int edu_open(struct edu *edu);
/* What makes a device that is open ready for DMA. */
int edu_start(struct edu *edu);
/* Memory and bus mastering on, as by edu_open(): a reset switches them off. */
int edu_set_command(struct edu *edu);
bool edu_is_master(const struct edu *edu);
void edu_close(struct edu *edu);
void edu_close_group(struct edu *edu);

#define TRACEFS	"/sys/kernel/tracing"

/* What the file had is gone, as with a shell's ">". Returns 0 or -errno. */
int write_text(const char *path, const char *text);
/* Calls @fn with each event that is kept, a line. Returns 0 or -errno. */
int trace_read(void (*fn)(char *line, void *arg), void *arg);
/*
 * An administrator's acts on the device: takes its driver away, or all of it,
 * and brings it back. Each returns when that is done.
 */
int edu_unbind(const struct edu *edu);
int edu_remove(const struct edu *edu);
int edu_come_back(struct edu *edu);

/* One transfer: @len bytes between @iova and offset @off of the own buffer. */
void edu_load(struct edu *edu, unsigned int off, uint64_t iova,
	      unsigned int len);
void edu_store(struct edu *edu, uint64_t iova, unsigned int off,
	       unsigned int len);
/* The device copies up to 4096 bytes from bus address to bus address. */
void edu_copy(struct edu *edu, uint64_t dst, uint64_t src, unsigned int len);

int container_open(void);
int container_add(int c, struct edu *edu);
int container_del(int c, struct edu *edu);
int container_set_iommu(int c, unsigned long type);

int spapr_info(int c, struct vfio_iommu_spapr_tce_info *info);
int spapr_register(int c, const void *ua, uint64_t size);
int spapr_unregister(int c, const void *ua, uint64_t size);
int spapr_create(int c, unsigned int shift, uint64_t size, unsigned int levels,
		 uint64_t *start);
int spapr_remove(int c, uint64_t start);
int spapr_map_flags(int c, uint64_t iova, const void *ua, uint64_t size,
		    uint32_t flags);
int spapr_map(int c, uint64_t iova, const void *ua, uint64_t size);
int spapr_unmap(int c, uint64_t iova, uint64_t size);
int spapr_eeh(int c, uint32_t op);
int spapr_ioctl(int c, unsigned long request, void *arg);

/* Zeroed private memory, aligned; it lives as long as the process. */
void *buf_alloc(size_t size, size_t align);
/* The same from huge pages, so contiguous in pieces of up to 1 << @shift. */
void *buf_alloc_huge(size_t size, unsigned int shift);
/* The same as memory of a file. */
void *buf_alloc_huge_shared(size_t size, unsigned int shift);
/* Memory that IOMMU pages of 1 << @shift can be mapped to; NULL if none. */
void *buf_alloc_contig(size_t size, unsigned int shift);
/* Writes into each word what names it: no two words of the process agree. */
void buf_tag(void *buf, size_t size);
/* Writes what buf_tag() of the memory at @ua would write there. */
void buf_tag_for(void *buf, const void *ua, size_t size);
bool buf_is_tagged(const void *buf, size_t size);

/*
 * The page through which a test sees what the device saw: registered, and
 * mapped at @iova, as a whole page of the system.
 */
struct probe {
	struct edu *edu;
	int c;
	uint64_t iova;
	uint64_t *ua;
};

/* Opens the device, too, if it is not open yet. */
int probe_init(struct probe *p, int c, struct edu *edu, uint64_t iova);
int probe_exit(struct probe *p);

/* An IOMMU address, and the tagged memory that should be there, if any. */
struct spot {
	uint64_t iova;
	const void *ua;
};

#define MAX_SPOTS	64

/*
 * Has the device read 64 bytes at each of up to MAX_SPOTS addresses. Returns
 * the number of spots where it saw anything but the given memory, or saw
 * memory where there should be none; more than @n if the device does no DMA.
 */
int probe_spots(struct probe *p, const struct spot *spots, int n);

#define REACH_READ	1
#define REACH_WRITE	2

/*
 * Has the device read @ua through @iova and write it. Returns what worked, as
 * a mask, or -EIO if only some of the data arrived, or if the device does no
 * DMA.
 */
int probe_reach(struct probe *p, uint64_t iova, void *ua);

/* Charges and pins that a process can see. */
struct usage {
	long locked_kb;		/* charged to this process */
	long pinned;		/* pages pinned in the whole machine */
	unsigned long taint;	/* a warning leaves its mark here */
};

long locked_kb(void);
long pinned_pages(void);
/* Waits up to two seconds for the pins to come down to @pages. */
long pinned_pages_settle(long pages);
unsigned long kernel_taint(void);
struct usage usage_now(void);
/* The same when all that a former test left behind has come to rest. */
struct usage usage_at_rest(void);
/*
 * Has the kernel compare TCEs, views and counts of all tables, if it is built
 * to: returns the number of faults, 0 if it cannot, or -errno.
 */
long check_invariants(void);

/* Page frames of the memory from @ua on, in pages of page_size; or -errno. */
int read_pfns(const void *ua, uint64_t *pfn, unsigned long n);
long mem_free_kb(void);
/* Waits up to five seconds for that much memory to be free. */
long mem_free_kb_settle(long kb);

/* The largest piece of memory that the kernel allocates in one. */
unsigned long max_contiguous(void);

/* Arguments of the form NAME=VALUE go to the environment. */
void settings_from(int argc, char **argv);

/* From here on RLIMIT_MEMLOCK applies, at @bytes. */
void limit_locked(uint64_t bytes);
/* Has the child ended within so many seconds? Then @status is as of waitpid(). */
bool has_ended(pid_t pid, int seconds, int *status);
/* Runs @fn in a forked child (so in another mm) and returns what it returns. */
int in_child(int (*fn)(void *arg), void *arg);

/* An administrator removes all devices of a group, and has them found. */

#define SLOT_DEVICES	8
#define SLOT_NAME	32

/* The devices of a group, in the order in which they are removed. */
struct slot {
	int nr;
	char name[SLOT_DEVICES][SLOT_NAME];
};

int read_slot(struct slot *slot, int group);
/* All but the test device; returns how many. */
int slot_others(const struct slot *slot, const struct edu *edu,
		struct slot *others);
/* Returns when the driver has let go of all of them. */
int slot_remove(const struct slot *slot);
/* Finds the devices again, and gives them to vfio-pci. */
int slot_bring(const struct slot *slot);
/* The same, and finds @edu among them. */
int slot_return(const struct slot *slot, struct edu *edu);
int count_groups(void);
/* Waits up to two seconds for so many groups: they are freed behind RCU. */
int groups_settle(int want);

#endif
