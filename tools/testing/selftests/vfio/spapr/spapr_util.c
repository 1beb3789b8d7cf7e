// SPDX-License-Identifier: GPL-2.0-only
/* See spapr_util.h. */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "spapr_util.h"

#define EDU_ID			0x11e81234	/* device, vendor */
#define EDU_DMA_SRC		0x80
#define EDU_DMA_DST		0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_CMD		0x98
#define EDU_DMA_RUN		1
#define EDU_DMA_TO_MEMORY	2
#define EDU_BUFFER		0x40000
#define EDU_BUFFER_SIZE		4096

#define PCI_COMMAND		4
#define PCI_COMMAND_MEMORY	2
#define PCI_COMMAND_MASTER	4

#define SPOT_BYTES		(EDU_BUFFER_SIZE / MAX_SPOTS)
#define SPOT_WORDS		(SPOT_BYTES / 8)

/* No word of tagged memory looks like a word of any of these. */
#define TAG_MAGIC		0xda7aUL
#define POISON			0x0badfeed0badfeedUL
#define UNTOUCHED		0x1111111111111111UL

#define VFIO_PCI_DRIVER		"/sys/bus/pci/drivers/vfio-pci"
#define TCE_CHECK		"/sys/kernel/debug/powerpc/tce/check"

unsigned long page_size;
unsigned int page_shift;

static __attribute__((constructor)) void page_size_init(void)
{
	page_size = sysconf(_SC_PAGESIZE);
	page_shift = __builtin_ctzl(page_size);
}

static __attribute__((noreturn, format(printf, 1, 2)))
void die(const char *fmt, ...)
{
	va_list ap;

	fputs("# cannot go on: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (%s)\n", strerror(errno));
	_exit(1);
}

/* A system call's result, as the tests want it. */
static int result(int ret)
{
	return ret == -1 ? -errno : ret;
}

static void nap_ms(long ms)
{
	struct timespec ts = { .tv_nsec = ms * 1000000 };

	nanosleep(&ts, NULL);
}

static unsigned long read_number(const char *path, int base)
{
	FILE *f = fopen(path, "r");
	char buf[64];

	if (!f || !fgets(buf, sizeof(buf), f))
		die("%s", path);
	fclose(f);
	return strtoul(buf, NULL, base);
}

/* The number behind @key in a file of "key number" lines. */
static long read_keyed(const char *path, const char *key)
{
	FILE *f = fopen(path, "r");
	size_t len = strlen(key);
	char line[256];
	long value;

	if (!f)
		die("%s", path);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, len) || !strchr(" \t:", line[len]))
			continue;
		value = strtol(line + len + strspn(line + len, " \t:"), NULL,
			       10);
		fclose(f);
		return value;
	}
	errno = ENOENT;
	die("%s in %s", key, path);
}

/* ---- the device ---- */

static bool edu_is(const char *name, int *group)
{
	char path[300], target[256];
	unsigned int id;
	ssize_t len;

	snprintf(path, sizeof(path), VFIO_PCI_DRIVER "/%s/vendor", name);
	if (access(path, F_OK))
		return false;
	id = read_number(path, 16);
	snprintf(path, sizeof(path), VFIO_PCI_DRIVER "/%s/device", name);
	id |= read_number(path, 16) << 16;
	if (id != EDU_ID)
		return false;

	snprintf(path, sizeof(path), VFIO_PCI_DRIVER "/%s/iommu_group", name);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return false;
	target[len] = 0;
	*group = atoi(strrchr(target, '/') + 1);
	return true;
}

int edu_find(struct edu *edu, int max)
{
	DIR *dir = opendir(VFIO_PCI_DRIVER);
	int found = 0, group, i;
	struct dirent *d;

	if (!dir)
		return 0;
	while (found < max && (d = readdir(dir))) {
		if (strlen(d->d_name) >= sizeof(edu->name) ||
		    !edu_is(d->d_name, &group))
			continue;
		for (i = 0; i < found && edu[i].group != group; i++)
			;
		if (i < found)
			continue;
		edu[found] = (struct edu){
			.group = group, .group_fd = -1, .fd = -1,
		};
		strcpy(edu[found++].name, d->d_name);
	}
	closedir(dir);
	return found;
}

int edu_open_group(struct edu *edu)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%d", edu->group);
	edu->group_fd = open(path, O_RDWR | O_CLOEXEC);
	return result(edu->group_fd);
}

static uint64_t edu_region(struct edu *edu, int index, uint64_t *size)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info), .index = index,
	};

	if (ioctl(edu->fd, VFIO_DEVICE_GET_REGION_INFO, &info))
		die("region %d of %s", index, edu->name);
	*size = info.size;
	return info.offset;
}

int edu_set_command(struct edu *edu)
{
	uint16_t command = htole16(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);

	return pwrite(edu->fd, &command, sizeof(command),
		      edu->config + PCI_COMMAND) == sizeof(command) ? 0 : -EIO;
}

bool edu_is_master(const struct edu *edu)
{
	uint16_t command = 0;

	if (pread(edu->fd, &command, sizeof(command),
		  edu->config + PCI_COMMAND) != sizeof(command))
		die("command of %s", edu->name);
	return le16toh(command) & PCI_COMMAND_MASTER;
}

int edu_start(struct edu *edu)
{
	uint64_t offset, size;

	edu->config = edu_region(edu, VFIO_PCI_CONFIG_REGION_INDEX, &size);
	if (edu_set_command(edu))
		die("bus mastering of %s", edu->name);

	offset = edu_region(edu, VFIO_PCI_BAR0_REGION_INDEX, &size);
	edu->bar = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			edu->fd, offset);
	if (edu->bar == MAP_FAILED)
		die("registers of %s", edu->name);
	return 0;
}

int edu_open(struct edu *edu)
{
	edu->fd = ioctl(edu->group_fd, VFIO_GROUP_GET_DEVICE_FD, edu->name);
	return edu->fd < 0 ? -errno : edu_start(edu);
}

void edu_close(struct edu *edu)
{
	uint64_t size;

	if (edu->fd < 0)
		return;
	if (edu->bar) {
		edu_region(edu, VFIO_PCI_BAR0_REGION_INDEX, &size);
		munmap((void *)edu->bar, size);
		edu->bar = NULL;
	}
	close(edu->fd);
	edu->fd = -1;
}

void edu_close_group(struct edu *edu)
{
	if (edu->group_fd >= 0)
		close(edu->group_fd);
	edu->group_fd = -1;
}

/* On a powernv machine the device has big-endian registers. */
static void edu_write(struct edu *edu, unsigned int reg, uint64_t value)
{
	*(volatile uint64_t *)(edu->bar + reg) = htobe64(value);
	__sync_synchronize();
}

static uint64_t edu_read(struct edu *edu, unsigned int reg)
{
	__sync_synchronize();
	return be64toh(*(volatile uint64_t *)(edu->bar + reg));
}

static void edu_dma(struct edu *edu, uint64_t src, uint64_t dst,
		    unsigned int len, unsigned int direction)
{
	int ms;

	edu_write(edu, EDU_DMA_SRC, src);
	edu_write(edu, EDU_DMA_DST, dst);
	edu_write(edu, EDU_DMA_COUNT, len);
	edu_write(edu, EDU_DMA_CMD, EDU_DMA_RUN | direction);
	for (ms = 0; edu_read(edu, EDU_DMA_CMD) & EDU_DMA_RUN; ms++) {
		if (ms > 10000)
			die("%s does not finish its DMA", edu->name);
		nap_ms(1);
	}
}

void edu_load(struct edu *edu, unsigned int off, uint64_t iova,
	      unsigned int len)
{
	edu_dma(edu, iova, EDU_BUFFER + off, len, 0);
}

void edu_store(struct edu *edu, uint64_t iova, unsigned int off,
	       unsigned int len)
{
	edu_dma(edu, EDU_BUFFER + off, iova, len, EDU_DMA_TO_MEMORY);
}

void edu_copy(struct edu *edu, uint64_t dst, uint64_t src, unsigned int len)
{
	edu_load(edu, 0, src, len);
	edu_store(edu, dst, 0, len);
}

/* ---- the container ---- */

int container_open(void)
{
	int c = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);

	if (c < 0)
		die("/dev/vfio/vfio");
	return c;
}

int container_add(int c, struct edu *edu)
{
	return result(ioctl(edu->group_fd, VFIO_GROUP_SET_CONTAINER, &c));
}

int container_del(int c, struct edu *edu)
{
	return result(ioctl(edu->group_fd, VFIO_GROUP_UNSET_CONTAINER, &c));
}

int container_set_iommu(int c, unsigned long type)
{
	return result(ioctl(c, VFIO_SET_IOMMU, type));
}

int spapr_ioctl(int c, unsigned long request, void *arg)
{
	return result(ioctl(c, request, arg));
}

int spapr_info(int c, struct vfio_iommu_spapr_tce_info *info)
{
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	return spapr_ioctl(c, VFIO_IOMMU_SPAPR_TCE_GET_INFO, info);
}

int spapr_register(int c, const void *ua, uint64_t size)
{
	struct vfio_iommu_spapr_register_memory arg = {
		.argsz = sizeof(arg), .vaddr = (uintptr_t)ua, .size = size,
	};

	return spapr_ioctl(c, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &arg);
}

int spapr_unregister(int c, const void *ua, uint64_t size)
{
	struct vfio_iommu_spapr_register_memory arg = {
		.argsz = sizeof(arg), .vaddr = (uintptr_t)ua, .size = size,
	};

	return spapr_ioctl(c, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, &arg);
}

int spapr_create(int c, unsigned int shift, uint64_t size, unsigned int levels,
		 uint64_t *start)
{
	struct vfio_iommu_spapr_tce_create arg = {
		.argsz = sizeof(arg), .page_shift = shift,
		.window_size = size, .levels = levels,
	};
	int ret = spapr_ioctl(c, VFIO_IOMMU_SPAPR_TCE_CREATE, &arg);

	if (!ret && start)
		*start = arg.start_addr;
	return ret;
}

int spapr_remove(int c, uint64_t start)
{
	struct vfio_iommu_spapr_tce_remove arg = {
		.argsz = sizeof(arg), .start_addr = start,
	};

	return spapr_ioctl(c, VFIO_IOMMU_SPAPR_TCE_REMOVE, &arg);
}

int spapr_map_flags(int c, uint64_t iova, const void *ua, uint64_t size,
		    uint32_t flags)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg), .flags = flags,
		.vaddr = (uintptr_t)ua, .iova = iova, .size = size,
	};

	return spapr_ioctl(c, VFIO_IOMMU_MAP_DMA, &arg);
}

int spapr_map(int c, uint64_t iova, const void *ua, uint64_t size)
{
	return spapr_map_flags(c, iova, ua, size,
			       VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
}

int spapr_unmap(int c, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg), .iova = iova, .size = size,
	};

	return spapr_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &arg);
}

int spapr_eeh(int c, uint32_t op)
{
	struct vfio_eeh_pe_op arg = { .argsz = sizeof(arg), .op = op };

	return spapr_ioctl(c, VFIO_EEH_PE_OP, &arg);
}

/* ---- memory ---- */

void *buf_alloc(size_t size, size_t align)
{
	char *raw, *buf;

	if (align < page_size)
		align = page_size;
	/* An inaccessible page on either side: no buffer touches another. */
	raw = mmap(NULL, size + align + page_size, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (raw == MAP_FAILED)
		die("%zu bytes of addresses", size);
	buf = (char *)(((uintptr_t)raw + align) & -align);
	if (mmap(buf, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != buf)
		die("%zu bytes of memory", size);
	return buf;
}

/* The smallest size of huge page that is at least 1 << @shift. */
static unsigned int huge_shift(unsigned int shift)
{
	DIR *dir = opendir("/sys/kernel/mm/hugepages");
	unsigned int best = 0, have;
	unsigned long kb;
	struct dirent *d;

	if (!dir)
		return 0;
	while ((d = readdir(dir))) {
		if (sscanf(d->d_name, "hugepages-%lukB", &kb) != 1)
			continue;
		have = __builtin_ctzl(kb) + 10;
		if (have >= shift && (!best || have < best))
			best = have;
	}
	closedir(dir);
	return best;
}

/*
 * Makes @size whole huge pages of at least 1 << @shift, which the kernel may
 * have; returns log2 of theirs, 0 if there are none.
 */
static unsigned int huge_allow(size_t *size, unsigned int shift)
{
	unsigned int huge = huge_shift(shift);
	char path[100], text[32];

	/*
	 * pin_user_pages() does not find pages of 16 MiB in a kernel with pages
	 * of 4 KiB, and faults them in for ever.
	 */
	if (!huge || (huge == 24 && page_shift == 12))
		return 0;
	*size = (*size + (1UL << huge) - 1) & -(1UL << huge);
	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%lukB/nr_overcommit_hugepages",
		 1UL << (huge - 10));
	snprintf(text, sizeof(text), "%lu", (*size >> huge) + 16);
	return write_text(path, text) ? 0 : huge;
}

void *buf_alloc_huge(size_t size, unsigned int shift)
{
	unsigned int huge = huge_allow(&size, shift);
	void *buf;

	if (!huge)
		return NULL;
	buf = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		   MAP_ANONYMOUS | MAP_HUGETLB | (huge << MAP_HUGE_SHIFT), -1,
		   0);
	return buf == MAP_FAILED ? NULL : buf;
}

void *buf_alloc_huge_shared(size_t size, unsigned int shift)
{
	unsigned int huge = huge_allow(&size, shift);
	void *buf = MAP_FAILED;
	int fd;

	if (!huge)
		return NULL;
	fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB |
			  huge << MAP_HUGE_SHIFT);
	if (fd >= 0 && !ftruncate(fd, size))
		buf = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   0);
	close(fd);
	return buf == MAP_FAILED ? NULL : buf;
}

void *buf_alloc_contig(size_t size, unsigned int shift)
{
	if (shift <= page_shift)
		return buf_alloc(size, 1UL << shift);
	return buf_alloc_huge(size, shift);
}

static uint64_t tag_of(const void *word)
{
	return TAG_MAGIC << 48 | (uintptr_t)word;
}

void buf_tag_for(void *buf, const void *ua, size_t size)
{
	const uint64_t *as = ua;
	uint64_t *word = buf;

	for (; size; size -= 8)
		*word++ = tag_of(as++);
}

void buf_tag(void *buf, size_t size)
{
	buf_tag_for(buf, buf, size);
}

bool buf_is_tagged(const void *buf, size_t size)
{
	const uint64_t *word = buf;

	for (; size; size -= 8, word++) {
		if (*word != tag_of(word))
			return false;
	}
	return true;
}

/* ---- what the device sees ---- */

int probe_init(struct probe *p, int c, struct edu *edu, uint64_t iova)
{
	int ret;

	*p = (struct probe){ .edu = edu, .c = c, .iova = iova };
	p->ua = buf_alloc(page_size, page_size);
	if (edu->fd < 0) {
		ret = edu_open(edu);
		if (ret)
			return ret;
	}
	ret = spapr_register(c, p->ua, page_size);
	if (ret)
		return ret;
	return spapr_map(c, iova, p->ua, page_size);
}

int probe_exit(struct probe *p)
{
	int ret = spapr_unmap(p->c, p->iova, page_size);

	if (ret)
		return ret;
	return spapr_unregister(p->c, p->ua, page_size);
}

static void poison(uint64_t *words, unsigned int n)
{
	while (n--)
		words[n] = POISON;
}

static unsigned int count_same(const uint64_t *a, const uint64_t *b,
			       unsigned int n)
{
	unsigned int i, same = 0;

	for (i = 0; i < n; i++)
		same += a[i] == b[i];
	return same;
}

static unsigned int count_tagged(const uint64_t *words, unsigned int n)
{
	unsigned int i, tagged = 0;

	for (i = 0; i < n; i++)
		tagged += words[i] >> 48 == TAG_MAGIC;
	return tagged;
}

int probe_spots(struct probe *p, const struct spot *spots, int n)
{
	int i, wrong = 0;

	if (n > MAX_SPOTS)
		die("%d spots", n);
	/* A read that fails may leave the old content of the device's buffer */
	poison(p->ua, EDU_BUFFER_SIZE / 8);
	edu_load(p->edu, 0, p->iova, EDU_BUFFER_SIZE);
	for (i = 0; i < n; i++)
		edu_load(p->edu, i * SPOT_BYTES, spots[i].iova, SPOT_BYTES);
	memset(p->ua, 0, EDU_BUFFER_SIZE);
	edu_store(p->edu, p->iova, 0, EDU_BUFFER_SIZE);

	/* Behind the spots there is still the poison, if the device is alive */
	for (i = n * SPOT_WORDS; i < EDU_BUFFER_SIZE / 8; i++) {
		if (p->ua[i] == POISON)
			continue;
		fprintf(stderr, "# %s does no DMA\n", p->edu->name);
		return n + 1;
	}
	for (i = 0; i < n; i++) {
		const uint64_t *seen = p->ua + i * SPOT_WORDS;

		if (spots[i].ua ?
		    count_same(seen, spots[i].ua, SPOT_WORDS) == SPOT_WORDS :
		    !count_tagged(seen, SPOT_WORDS))
			continue;
		fprintf(stderr, "# at %#lx the device saw %#lx, not %#lx\n",
			(long)spots[i].iova, (long)seen[0],
			spots[i].ua ? *(const long *)spots[i].ua : 0L);
		wrong++;
	}
	return wrong;
}

static int reached(const uint64_t *there, const uint64_t *pattern, int mask)
{
	unsigned int same = count_same(there, pattern, SPOT_WORDS);

	if (!same)
		return 0;
	return same == SPOT_WORDS ? mask : -EIO;
}

static void new_pattern(uint64_t *pattern)
{
	static uint64_t serial;
	unsigned int i;

	for (i = 0; i < SPOT_WORDS; i++)
		pattern[i] = 0x5eed000000000000UL + serial++;
}

int probe_reach(struct probe *p, uint64_t iova, void *ua)
{
	uint64_t pattern[SPOT_WORDS];
	int can_read, can_write;

	new_pattern(pattern);
	memcpy(ua, pattern, SPOT_BYTES);
	poison(p->ua, SPOT_WORDS);
	edu_load(p->edu, 0, p->iova, SPOT_BYTES);
	p->ua[0] = UNTOUCHED;
	edu_copy(p->edu, p->iova, iova, SPOT_BYTES);
	/* Whatever it could read there, it writes something here */
	if (p->ua[0] == UNTOUCHED) {
		fprintf(stderr, "# %s does no DMA\n", p->edu->name);
		return -EIO;
	}
	can_read = reached(p->ua, pattern, REACH_READ);

	new_pattern(pattern);
	memcpy(p->ua, pattern, SPOT_BYTES);
	edu_copy(p->edu, iova, p->iova, SPOT_BYTES);
	can_write = reached(ua, pattern, REACH_WRITE);

	buf_tag(ua, SPOT_BYTES);
	return can_read < 0 || can_write < 0 ? -EIO : can_read | can_write;
}

/* ---- what is in use ---- */

long locked_kb(void)
{
	return read_keyed("/proc/self/status", "VmLck");
}

long pinned_pages(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_RDONLY);
	char c;

	/* Brings in what the CPUs have counted for themselves so far. */
	if (fd < 0 || read(fd, &c, 1) < 0)
		die("/proc/sys/vm/stat_refresh");
	close(fd);
	return read_keyed("/proc/vmstat", "nr_foll_pin_acquired") -
	       read_keyed("/proc/vmstat", "nr_foll_pin_released");
}

long pinned_pages_settle(long pages)
{
	long now = pinned_pages();
	int tries;

	for (tries = 0; now != pages && tries < 500; tries++) {
		nap_ms(20);
		now = pinned_pages();
	}
	return now;
}

unsigned long kernel_taint(void)
{
	return read_number("/proc/sys/kernel/tainted", 10);
}

struct usage usage_now(void)
{
	return (struct usage){
		.locked_kb = locked_kb(),
		.pinned = pinned_pages(),
		.taint = kernel_taint(),
	};
}

struct usage usage_at_rest(void)
{
	struct usage was, now = usage_now();

	do {
		was = now;
		/* A test that broke off leaves it to the kernel to clean up */
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
		nap_ms(10);
		now = usage_now();
	} while (was.pinned != now.pinned);
	return now;
}

long check_invariants(void)
{
	FILE *f = fopen(TCE_CHECK, "r");
	long faults = -EIO;
	char line[256];

	if (!f)
		return errno == ENOENT ? 0 : -errno;
	while (fgets(line, sizeof(line), f)) {
		/* The last line sums up, the others say what is wrong. */
		if (sscanf(line, "checked %*u tables, %*u entries, %*u regions: %ld faults",
			   &faults) != 1)
			fprintf(stderr, "# %s", line);
	}
	fclose(f);
	return faults;
}

long mem_free_kb(void)
{
	return read_keyed("/proc/meminfo", "MemFree");
}

/* Memory of a dead process is freed behind RCU: wait until enough is. */
long mem_free_kb_settle(long kb)
{
	long now = mem_free_kb();
	int tries;

	for (tries = 0; now < kb && tries < 250; tries++) {
		nap_ms(20);
		now = mem_free_kb();
	}
	return now;
}

unsigned long max_contiguous(void)
{
	FILE *f = fopen("/proc/buddyinfo", "r");
	char line[512], *word;
	int columns = 0;

	/* "Node 0, zone   Normal" and a column for each order */
	if (!f || !fgets(line, sizeof(line), f))
		die("/proc/buddyinfo");
	fclose(f);
	for (word = strtok(line, " \n"); word; word = strtok(NULL, " \n"))
		columns++;
	return page_size << (columns - 4 - 1);
}

void settings_from(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (strchr(argv[i], '='))
			putenv(argv[i]);
	}
}

void limit_locked(uint64_t bytes)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];
	struct rlimit limit = { .rlim_cur = bytes, .rlim_max = RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		die("RLIMIT_MEMLOCK");
	if (syscall(SYS_capget, &header, data))
		die("capget");
	data[0].effective &= ~(1U << CAP_IPC_LOCK);
	if (syscall(SYS_capset, &header, data))
		die("capset");
}

int in_child(int (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid;

	fflush(stdout);
	fflush(stderr);
	pid = fork();
	if (pid < 0)
		die("fork");
	/* An exit status has 8 bits, and every errno of interest fits in 7 */
	if (!pid)
		_exit(-fn(arg));
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		die("a child");
	return -(int)WEXITSTATUS(status);
}

#define PAGEMAP_PFN	((1UL << 55) - 1)

int read_pfns(const void *ua, uint64_t *pfn, unsigned long n)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t bytes = n * sizeof(*pfn);
	unsigned long i;
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (pread(fd, pfn, bytes, (uintptr_t)ua / page_size * sizeof(*pfn)) !=
	    bytes)
		ret = -EIO;
	close(fd);
	for (i = 0; !ret && i < n; i++)
		pfn[i] &= PAGEMAP_PFN;
	return ret;
}

/* ---- what an administrator does ---- */

int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ret = -errno;
	close(fd);
	return ret;
}

int trace_read(void (*fn)(char *line, void *arg), void *arg)
{
	FILE *f = fopen(TRACEFS "/trace", "r");
	char line[512];

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (*line != '#')
			fn(line, arg);
	}
	fclose(f);
	return 0;
}

int edu_unbind(const struct edu *edu)
{
	return write_text(VFIO_PCI_DRIVER "/unbind", edu->name);
}

int edu_remove(const struct edu *edu)
{
	char path[300];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove",
		 edu->name);
	return write_text(path, "1");
}

int edu_come_back(struct edu *edu)
{
	char path[300];
	int ret;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override",
		 edu->name);
	if (access(path, F_OK)) {
		ret = write_text("/sys/bus/pci/rescan", "1");
		if (ret)
			return ret;
	}
	ret = write_text(path, "vfio-pci");
	if (ret)
		return ret;
	ret = write_text("/sys/bus/pci/drivers_probe", edu->name);
	if (ret)
		return ret;
	return edu_is(edu->name, &edu->group) ? 0 : -ENODEV;
}

bool has_ended(pid_t pid, int seconds, int *status)
{
	int tries;

	for (tries = 0; tries < seconds * 50; tries++) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		nap_ms(20);
	}
	return false;
}

int read_slot(struct slot *slot, int group)
{
	char path[64];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices",
		 group);
	dir = opendir(path);
	if (!dir)
		return -errno;
	slot->nr = 0;
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.' || slot->nr == SLOT_DEVICES)
			continue;
		snprintf(slot->name[slot->nr++], SLOT_NAME, "%.*s",
			 SLOT_NAME - 1, d->d_name);
	}
	closedir(dir);
	return 0;
}

int slot_others(const struct slot *slot, const struct edu *edu,
		struct slot *others)
{
	int i;

	others->nr = 0;
	for (i = 0; i < slot->nr; i++) {
		if (strcmp(slot->name[i], edu->name))
			strcpy(others->name[others->nr++], slot->name[i]);
	}
	return others->nr;
}

/* Returns when the driver has let go of all of them. */
int slot_remove(const struct slot *slot)
{
	char path[PATH_MAX];
	int i, ret = 0;

	for (i = 0; !ret && i < slot->nr; i++) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove",
			 slot->name[i]);
		ret = write_text(path, "1");
	}
	return ret;
}

static int bind_one(const char *name)
{
	char path[PATH_MAX];
	int ret;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override",
		 name);
	ret = write_text(path, "vfio-pci");
	return ret ?: write_text("/sys/bus/pci/drivers_probe", name);
}

int slot_bring(const struct slot *slot)
{
	int ret = write_text("/sys/bus/pci/rescan", "1"), i;

	for (i = 0; !ret && i < slot->nr; i++)
		ret = bind_one(slot->name[i]);
	return ret;
}

int slot_return(const struct slot *slot, struct edu *edu)
{
	int ret = slot_bring(slot), i, n;
	struct edu found[4];

	if (ret)
		return ret;

	n = edu_find(found, 4);
	for (i = 0; i < n; i++) {
		if (strcmp(found[i].name, edu->name))
			continue;
		*edu = found[i];
		return 0;
	}
	return -ENODEV;
}

int count_groups(void)
{
	DIR *dir = opendir("/sys/kernel/iommu_groups");
	struct dirent *d;
	int n = 0;

	if (!dir)
		return -errno;
	while ((d = readdir(dir)))
		n += d->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* Memory of a removed device is freed behind RCU, and by work queues. */
int groups_settle(int want)
{
	struct timespec ts = { .tv_nsec = 20000000 };
	int n = count_groups(), tries;

	for (tries = 0; n != want && tries < 100; tries++) {
		nanosleep(&ts, NULL);
		n = count_groups();
	}
	return n;
}
