// SPDX-License-Identifier: GPL-2.0-only
/* See kvm_guest.h. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm_guest.h"
#include "spapr_util.h"

#ifndef PPC_FEATURE2_ARCH_3_00
#define PPC_FEATURE2_ARCH_3_00	0x00800000
#endif

#define VM_HV			1
#define VM_PR			2
#define HTAB_ORDER		18
#define PROCESS_TABLE_RADIX	(1UL << 63)
/* 64 bits, and the byte order of this program, which writes what it reads */
#define GUEST_MSR		(1UL << 63 | (__BYTE_ORDER == __LITTLE_ENDIAN))
/* No hypercall of KVM's: the guest wants its next list, and how long it is. */
#define H_DONE			0xff00

/* Behind the code, which has the first 64 KiB for itself. */
#define HCALLS_SIZE		(MAX_HCALLS * sizeof(struct hcall))
#define LISTS_SIZE		(MAX_LISTS * MAX_LIST * 8)
#define VCPU_BASE		SZ_64K
#define VCPU_SIZE		(HCALLS_SIZE + LISTS_SIZE)

_Static_assert(VCPU_BASE + GUEST_MAX_VCPUS * VCPU_SIZE <= GUEST_LOW_SIZE,
	       "the vCPUs' memory");

/* struct hcall is known by its offsets here. */
asm(".pushsection .rodata\n"
	".balign 8\n"
	".globl guest_code, guest_code_end\n"
"guest_code:\n"
	"lis	3, 0\n"
	"ori	3, 3, 0xff00\n"
	".long	0x44000022\n"		/* sc 1: H_DONE */
	"mr	14, 4\n"		/* list */
	"mr	15, 5\n"		/* how many */
"1:	cmpldi	15, 0\n"
	"beq	guest_code\n"
	"ld	3, 0(14)\n"
	"ld	4, 8(14)\n"
	"ld	5, 16(14)\n"
	"ld	6, 24(14)\n"
	"ld	7, 32(14)\n"
	".long	0x44000022\n"		/* sc 1 */
	"std	3, 48(14)\n"
	"std	4, 56(14)\n"
	"addi	14, 14, 64\n"
	"addi	15, 15, -1\n"
	"b	1b\n"
"guest_code_end:\n"
	".popsection\n");

extern const char guest_code[], guest_code_end[];

static __attribute__((noreturn)) void die(const char *what)
{
	fprintf(stderr, "# cannot go on: %s (%s)\n", what, strerror(errno));
	_exit(1);
}

#define SC_1			0x44000022
/*
 * Where the host is a guest itself, guests in problem state do this instead:
 * sc 1 would be a hypercall of the host. KVM emulates this instruction, which
 * no CPU has.
 */
#define FAKE_SC_1		0x7c000268

/*
 * The guest enables no interrupt and causes none. If it gets one nevertheless, it
 * makes a hypercall that says which, and where it was.
 */
#define FIRST_VECTOR		0x100
#define LAST_VECTOR		0xfe0
#define VECTOR_SIZE		0x20
#define H_INTERRUPT		0xe000

static const uint32_t vector_code[] = {
	0x38600000,			/* li	3, 0 */
	0x60630000 | H_INTERRUPT,	/* ori	3, 3, H_INTERRUPT */
	0x7c9a02a6,			/* mfsrr0 4 */
	0x7cbb02a6,			/* mfsrr1 5 */
	SC_1,
};

_Static_assert(sizeof(vector_code) <= VECTOR_SIZE, "code of an interrupt");
_Static_assert((H_INTERRUPT & LAST_VECTOR) == 0, "the vector is added");

static uint32_t instruction(uint32_t word, bool fake)
{
	return fake && word == SC_1 ? FAKE_SC_1 : word;
}

static void copy_code(char *to, enum mmu mmu)
{
	bool fake = mmu == PR && access("/sys/firmware/opal", F_OK);
	const uint32_t *from = (const uint32_t *)guest_code;
	uint32_t *code = (uint32_t *)to, vector, i;

	for (i = 0; from + i < (const uint32_t *)guest_code_end; i++)
		code[i] = instruction(from[i], fake);
	for (vector = FIRST_VECTOR; vector <= LAST_VECTOR;
	     vector += VECTOR_SIZE) {
		code = (uint32_t *)(to + vector);
		for (i = 0; i < sizeof(vector_code) / sizeof(*code); i++)
			code[i] = instruction(vector_code[i], fake);
		code[1] |= vector;
		/* Interrupts are big-endian until a guest asks for another. */
		for (i = 0; i < sizeof(vector_code) / sizeof(*code); i++)
			code[i] = htobe32(code[i]);
	}
}

static int result(int ret)
{
	return ret == -1 ? -errno : ret;
}

bool guest_has_real_mode(void)
{
	return !(getauxval(AT_HWCAP2) & PPC_FEATURE2_ARCH_3_00);
}

const char *guest_missing(enum mmu mmu)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	const char *why = NULL;
	int vm;

	if (kvm < 0)
		return "no /dev/kvm";
	vm = ioctl(kvm, KVM_CREATE_VM, mmu == PR ? VM_PR : VM_HV);
	if (vm < 0)
		why = mmu == PR ? "no KVM-PR" : "no KVM-HV";
	else if (mmu == RADIX &&
		 !ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_PPC_MMU_RADIX))
		why = "no radix guests";
	else if (mmu == HASH && !guest_has_real_mode() &&
		 !ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_PPC_MMU_HASH_V3))
		why = "no hash guests";
	if (vm >= 0)
		close(vm);
	close(kvm);
	return why;
}

enum mmu guest_any(void)
{
	if (!guest_missing(HASH))
		return HASH;
	return guest_missing(RADIX) ? PR : RADIX;
}

static void enable_hcall(struct vm *vm, unsigned int nr)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_PPC_ENABLE_HCALL, .args = { nr, 1 },
	};

	if (ioctl(vm->fd, KVM_ENABLE_CAP, &cap))
		die("KVM_CAP_PPC_ENABLE_HCALL");
}

static void vm_mmu(struct vm *vm, enum mmu mmu)
{
	struct kvm_ppc_mmuv3_cfg cfg = {
		.flags = KVM_PPC_MMUV3_RADIX | KVM_PPC_MMUV3_GTSE,
		.process_table = PROCESS_TABLE_RADIX,
	};
	uint32_t order = HTAB_ORDER;

	if (mmu == RADIX && ioctl(vm->fd, KVM_PPC_CONFIGURE_V3_MMU, &cfg))
		die("KVM_PPC_CONFIGURE_V3_MMU");
	if (mmu == HASH && ioctl(vm->fd, KVM_PPC_ALLOCATE_HTAB, &order))
		die("KVM_PPC_ALLOCATE_HTAB");
}

void vm_create(struct vm *vm, enum mmu mmu)
{
	*vm = (struct vm){ .mmu = mmu, .vfio = -1 };
	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		die("/dev/kvm");
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, mmu == PR ? VM_PR : VM_HV);
	if (vm->fd < 0)
		die("KVM_CREATE_VM");
	vm_mmu(vm, mmu);
	enable_hcall(vm, H_STUFF_TCE);
	enable_hcall(vm, H_PUT_TCE_INDIRECT);

	vm->low = buf_alloc(GUEST_LOW_SIZE, SZ_64K);
	copy_code(vm->low, mmu);
	if (vm_memory(vm, 0, 0, vm->low, GUEST_LOW_SIZE))
		die("guest memory");
}

void vm_close(struct vm *vm)
{
	if (vm->vfio >= 0)
		close(vm->vfio);
	close(vm->fd);
	close(vm->kvm);
	vm->vfio = -1;
	vm->fd = -1;
	vm->kvm = -1;
}

int vm_memory(struct vm *vm, unsigned int slot, uint64_t gpa, const void *ua,
	      uint64_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot, .guest_phys_addr = gpa, .memory_size = size,
		.userspace_addr = (uintptr_t)ua,
	};

	return result(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region));
}

int vm_liobn(struct vm *vm, uint64_t liobn, unsigned int shift, uint64_t offset,
	     uint64_t size)
{
	struct kvm_create_spapr_tce_64 arg = {
		.liobn = liobn, .page_shift = shift, .offset = offset,
		.size = size,
	};

	return result(ioctl(vm->fd, KVM_CREATE_SPAPR_TCE_64, &arg));
}

int vm_liobn_32(struct vm *vm, uint64_t liobn, uint32_t window_size)
{
	struct kvm_create_spapr_tce arg = {
		.liobn = liobn, .window_size = window_size,
	};

	return result(ioctl(vm->fd, KVM_CREATE_SPAPR_TCE, &arg));
}

static int group_attr(struct vm *vm, uint64_t attr, void *addr)
{
	struct kvm_device_attr arg = {
		.group = KVM_DEV_VFIO_GROUP, .attr = attr,
		.addr = (uintptr_t)addr,
	};
	struct kvm_create_device dev = { .type = KVM_DEV_TYPE_VFIO };

	if (vm->vfio < 0) {
		if (ioctl(vm->fd, KVM_CREATE_DEVICE, &dev))
			die("KVM's VFIO device");
		vm->vfio = dev.fd;
	}
	return result(ioctl(vm->vfio, KVM_SET_DEVICE_ATTR, &arg));
}

int vm_group_add(struct vm *vm, int group_fd)
{
	int32_t fd = group_fd;

	return group_attr(vm, KVM_DEV_VFIO_GROUP_ADD, &fd);
}

int vm_group_del(struct vm *vm, int group_fd)
{
	int32_t fd = group_fd;

	return group_attr(vm, KVM_DEV_VFIO_GROUP_DEL, &fd);
}

int vm_attach(struct vm *vm, int group_fd, int table_fd)
{
	struct kvm_vfio_spapr_tce arg = {
		.groupfd = group_fd, .tablefd = table_fd,
	};

	return group_attr(vm, KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, &arg);
}

/* ---- vCPUs ---- */

void vcpu_create(struct vm *vm, struct vcpu *cpu)
{
	struct kvm_enable_cap papr = { .cap = KVM_CAP_PPC_PAPR };
	uint64_t gpa = VCPU_BASE + vm->vcpus * VCPU_SIZE;
	struct kvm_regs regs;

	*cpu = (struct vcpu){
		.vm = vm,
		.hcall = (struct hcall *)(vm->low + gpa),
		.hcall_gpa = gpa,
		.list = (uint64_t *)(vm->low + gpa + HCALLS_SIZE),
		.list_gpa = gpa + HCALLS_SIZE,
	};
	if (vm->vcpus == GUEST_MAX_VCPUS)
		die("too many vCPUs");
	cpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, vm->vcpus++);
	if (cpu->fd < 0)
		die("KVM_CREATE_VCPU");
	if (ioctl(cpu->fd, KVM_ENABLE_CAP, &papr))
		die("KVM_CAP_PPC_PAPR");
	cpu->run_size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	cpu->run = mmap(NULL, cpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			cpu->fd, 0);
	if (cpu->run == MAP_FAILED)
		die("struct kvm_run");

	if (ioctl(cpu->fd, KVM_GET_REGS, &regs))
		die("KVM_GET_REGS");
	regs.pc = 0;
	regs.msr = GUEST_MSR;
	if (ioctl(cpu->fd, KVM_SET_REGS, &regs))
		die("KVM_SET_REGS");
	/* Up to where it asks for its first list */
	vcpu_run(cpu, 0);
}

void vcpu_close(struct vcpu *cpu)
{
	munmap(cpu->run, cpu->run_size);
	close(cpu->fd);
}

/* The guest calls nothing else; the result of a call is none of these. */
static bool is_tce_hcall(uint64_t nr)
{
	return nr == H_GET_TCE || nr == H_PUT_TCE || nr == H_STUFF_TCE ||
	       nr == H_PUT_TCE_INDIRECT;
}

void vcpu_run(struct vcpu *cpu, unsigned int n)
{
	struct kvm_run *run = cpu->run;

	if (n > MAX_HCALLS)
		die("too many hypercalls");
	/* The guest gets this for the H_DONE that it is waiting in */
	run->papr_hcall.args[0] = cpu->hcall_gpa;
	run->papr_hcall.args[1] = n;
	for (;;) {
		if (ioctl(cpu->fd, KVM_RUN, 0)) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			die("KVM_RUN");
		}
		if (run->exit_reason != KVM_EXIT_PAPR_HCALL) {
			errno = 0;
			fprintf(stderr, "# exit reason %u\n", run->exit_reason);
			die("KVM_RUN");
		}
		if (run->papr_hcall.nr == H_DONE)
			break;
		if (!is_tce_hcall(run->papr_hcall.nr)) {
			errno = 0;
			fprintf(stderr, "# hypercall %#lx: %#lx, %#lx\n",
				(long)run->papr_hcall.nr,
				(long)run->papr_hcall.args[0],
				(long)run->papr_hcall.args[1]);
			die("the guest has not made this hypercall");
		}
		run->papr_hcall.ret = H_TOO_HARD;
	}
}

static long read_stat(int fd, const char *name)
{
	struct kvm_stats_header header;
	struct kvm_stats_desc *desc;
	uint64_t value;
	unsigned int i;
	size_t size;
	char *descs;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
		die("header of the vCPU's counters");
	size = sizeof(*desc) + header.name_size;
	descs = malloc(size * header.num_desc);
	if (!descs || pread(fd, descs, size * header.num_desc,
			    header.desc_offset) != size * header.num_desc)
		die("descriptors of the vCPU's counters");
	for (i = 0; i < header.num_desc; i++) {
		desc = (struct kvm_stats_desc *)(descs + i * size);
		if (strcmp(desc->name, name))
			continue;
		if (pread(fd, &value, sizeof(value), header.data_offset +
			  desc->offset) != sizeof(value))
			die("the vCPU's counters");
		break;
	}
	free(descs);
	return i < header.num_desc ? (long)value : -ENOENT;
}

long vcpu_stat(struct vcpu *cpu, const char *name)
{
	int fd = ioctl(cpu->fd, KVM_GET_STATS_FD, NULL);
	long value;

	if (fd < 0)
		die("KVM_GET_STATS_FD");
	value = read_stat(fd, name);
	close(fd);
	return value;
}

/* ---- hypercalls ---- */

void hcall_set(struct vcpu *cpu, unsigned int i, uint64_t nr, uint64_t liobn,
	       uint64_t ioba, uint64_t arg2, uint64_t arg3)
{
	cpu->hcall[i] = (struct hcall){
		.nr = nr, .arg = { liobn, ioba, arg2, arg3 },
		/* no hypercall returns this */
		.ret = 0x5eed,
	};
}

void list_set(struct vcpu *cpu, unsigned int list, unsigned int i, uint64_t tce)
{
	*(volatile uint64_t *)&cpu->list[list * MAX_LIST + i] = htobe64(tce);
}

uint64_t list_gpa(const struct vcpu *cpu, unsigned int list)
{
	return cpu->list_gpa + list * MAX_LIST * 8;
}

static long one(struct vcpu *cpu, uint64_t nr, uint64_t liobn, uint64_t ioba,
		uint64_t arg2, uint64_t arg3)
{
	hcall_set(cpu, 0, nr, liobn, ioba, arg2, arg3);
	vcpu_run(cpu, 1);
	return cpu->hcall[0].ret;
}

long h_put_tce(struct vcpu *cpu, uint64_t liobn, uint64_t ioba, uint64_t tce)
{
	return one(cpu, H_PUT_TCE, liobn, ioba, tce, 0);
}

long h_put_tce_indirect(struct vcpu *cpu, uint64_t liobn, uint64_t ioba,
			uint64_t gpa, uint64_t n)
{
	return one(cpu, H_PUT_TCE_INDIRECT, liobn, ioba, gpa, n);
}

long h_stuff_tce(struct vcpu *cpu, uint64_t liobn, uint64_t ioba, uint64_t tce,
		 uint64_t n)
{
	return one(cpu, H_STUFF_TCE, liobn, ioba, tce, n);
}

long h_get_tce(struct vcpu *cpu, uint64_t liobn, uint64_t ioba, uint64_t *tce)
{
	long ret = one(cpu, H_GET_TCE, liobn, ioba, 0, 0);

	*tce = cpu->hcall[0].out;
	return ret;
}
