// SPDX-License-Identifier: GPL-2.0
/*
 * What the guest of a play runs, and the host when a card is its own again:
 *
 * flood DEVICE ADDRESS SECONDS [SIZE]
 *	sends echo requests of SIZE bytes, with a few of them on their way at any
 *	time, and compares each answer byte by byte. Ends early by SIGTERM.
 *	Status 0 when there were answers, none wrong and none missing. Order tells
 *	which are missing, no clock: see clocks. After two seconds without an
 *	answer a few more are sent: what is then answered yet, as when an
 *	interrupt was lost and the next one comes, is late, not lost.
 * clocks
 *	compares the time bases of all CPUs
 * stream FILE ADDRESS PORT
 *	sends a file over TCP to one who sends it back, by sendfile(): the card
 *	reads the pages of the file itself. Compares what comes.
 * indicator TYPE INDEX STATE
 *	RTAS set-indicator, by which a guest says that it takes or gives a device
 *	(PAPR, Dynamic Reconfiguration).
 * blocks DEVICE MIB SEED [read]
 *	writes that much to a disk, past its page cache, reads it back by other
 *	buffers and compares; or does the latter only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ON_THEIR_WAY	4
#define MAX_SIZE	16384
/* In looks of 100 ms. */
#define KICK_AFTER	20
#define END_AFTER	100
/* Answers come in order; what so many overtook is lost. */
#define OVERTAKEN	64
#define RTAS_TOKEN	"/proc/device-tree/rtas/set-indicator"
#define BLOCK_BYTES	1048576UL

static volatile sig_atomic_t stop;

static void on_term(int nr)
{
	stop = nr;
}

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(2);
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);

	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Bytes that tell where they belong. */
static void fill(__u8 *p, size_t bytes, __u32 seed)
{
	__u32 x = seed * 2654435761u + 1;
	size_t i;

	for (i = 0; i < bytes; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = x >> 24;
	}
}

/* Flood */

/* Requests are found by the low bits of their number. */
#define REMEMBERED	1024

struct request {
	bool on_the_way;
	bool late;
	__u16 seq;
};

struct flood {
	int fd;
	__u16 id, seq, answered_seq;
	size_t size;
	struct sockaddr_in to;
	struct request requests[REMEMBERED];
	unsigned int waiting;		/* for answers, and not late */
	unsigned long sent, answered, wrong, late, lost;
	unsigned int silent, most_silent;
};

static __u16 checksum(const void *data, size_t bytes)
{
	const __u8 *p = data;
	__u32 sum = 0;
	size_t i;

	for (i = 0; i + 1 < bytes; i += 2)
		sum += p[i] << 8 | p[i + 1];
	if (bytes & 1)
		sum += p[bytes - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);

	return htons(~sum);
}

static void lose(struct flood *f, struct request *r)
{
	if (!r->on_the_way)
		return;
	if (!r->late)
		f->waiting--;
	f->lost++;
	r->on_the_way = false;
}

static void send_one(struct flood *f)
{
	static __u8 packet[sizeof(struct icmphdr) + MAX_SIZE];
	struct icmphdr *h = (void *)packet;
	size_t bytes = sizeof(*h) + f->size;
	struct request *r;

	memset(h, 0, sizeof(*h));
	h->type = ICMP_ECHO;
	h->un.echo.id = htons(f->id);
	h->un.echo.sequence = htons(++f->seq);
	fill(packet + sizeof(*h), f->size, f->seq);
	h->checksum = checksum(packet, bytes);

	r = &f->requests[f->seq % REMEMBERED];
	lose(f, r);
	r->seq = f->seq;
	r->on_the_way = true;
	r->late = false;
	f->waiting++;
	f->sent++;
	/* A full queue, or a device that has just gone: it shows as lost. */
	if (sendto(f->fd, packet, bytes, 0, (void *)&f->to, sizeof(f->to)) < 0 &&
	    errno != ENOBUFS && errno != ENETDOWN && errno != ENXIO &&
	    errno != ENETUNREACH && errno != EINTR)
		die("sendto");
}

static void take_answer(struct flood *f)
{
	static __u8 packet[65536], want[MAX_SIZE];
	ssize_t got = recv(f->fd, packet, sizeof(packet), MSG_DONTWAIT);
	struct icmphdr *h;
	struct request *r;
	__u16 seq;
	size_t head;

	if (got < 20)
		return;
	head = (packet[0] & 15) * 4;
	h = (void *)(packet + head);
	if ((size_t)got < head + sizeof(*h) || h->type != ICMP_ECHOREPLY ||
	    ntohs(h->un.echo.id) != f->id)
		return;

	seq = ntohs(h->un.echo.sequence);
	r = &f->requests[seq % REMEMBERED];
	if (!r->on_the_way || r->seq != seq)
		return;

	if (!r->late)
		f->waiting--;
	r->on_the_way = false;
	f->answered++;
	f->answered_seq = seq;
	f->silent = 0;
	fill(want, f->size, seq);
	if ((size_t)got != head + sizeof(*h) + f->size ||
	    memcmp(packet + head + sizeof(*h), want, f->size))
		f->wrong++;
}

/* A look of 100 ms, and nothing came: after some, do not wait for those. */
static void note_silence(struct flood *f)
{
	unsigned int i;

	if (++f->silent > f->most_silent)
		f->most_silent = f->silent;
	if (f->silent % KICK_AFTER)
		return;

	for (i = 0; i < REMEMBERED; i++) {
		struct request *r = &f->requests[i];

		if (r->on_the_way && !r->late) {
			r->late = true;
			f->late++;
			f->waiting--;
		}
	}
}

static void lose_overtaken(struct flood *f, bool all)
{
	unsigned int i;

	for (i = 0; i < REMEMBERED; i++) {
		struct request *r = &f->requests[i];
		__s16 behind = f->answered_seq - r->seq;

		if (r->on_the_way && (all || behind > OVERTAKEN))
			lose(f, r);
	}
}

static bool any_on_the_way(const struct flood *f)
{
	unsigned int i;

	for (i = 0; i < REMEMBERED; i++) {
		if (f->requests[i].on_the_way)
			return true;
	}

	return false;
}

static void flood_for(struct flood *f, long ms)
{
	struct pollfd p = { .fd = f->fd, .events = POLLIN };
	long end = now_ms() + ms;
	bool over = false;

	while (!over || (any_on_the_way(f) && f->silent < END_AFTER)) {
		/* A card that is dead for long is as good as gone. */
		over = over || stop || now_ms() >= end ||
		       f->silent >= END_AFTER;
		while (!over && f->waiting < ON_THEIR_WAY)
			send_one(f);
		if (poll(&p, 1, 100) > 0)
			take_answer(f);
		else
			note_silence(f);
		if (f->answered % OVERTAKEN == 0)
			lose_overtaken(f, false);
	}
	lose_overtaken(f, true);
}

static int flood(char **arg)
{
	static struct flood f;
	struct sigaction action = { .sa_handler = on_term };

	f.id = getpid();
	f.size = arg[3] ? atoi(arg[3]) : 1000;
	if (f.size > MAX_SIZE)
		f.size = MAX_SIZE;
	sigaction(SIGTERM, &action, NULL);
	f.to.sin_family = AF_INET;
	f.to.sin_addr.s_addr = inet_addr(arg[1]);
	f.fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	if (f.fd < 0)
		die("socket");
	if (setsockopt(f.fd, SOL_SOCKET, SO_BINDTODEVICE, arg[0],
		       strlen(arg[0]) + 1))
		die(arg[0]);

	flood_for(&f, atol(arg[2]) * 1000);
	printf("%s %s: sent %lu answered %lu late %lu lost %lu wrong %lu ", __func__,
	       arg[0], f.sent, f.answered, f.late, f.lost, f.wrong);
	printf("longest silence %u ms\n", f.most_silent * 100);

	return !f.answered || f.lost || f.wrong;
}

/* Clocks */

static unsigned long time_base(void)
{
	return __builtin_ppc_get_timebase();
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

/* How far one CPU's time base is behind another's at least, in ticks. */
static int clocks(void)
{
	long nr = sysconf(_SC_NPROCESSORS_ONLN), behind = 0, a, b;
	unsigned long before, after;
	int i;

	for (i = 0; i < 100; i++) {
		for (a = 0; a < nr; a++) {
			b = (a + 1) % nr;
			run_on(a);
			before = time_base();
			run_on(b);
			after = time_base();
			if ((long)(before - after) > behind)
				behind = before - after;
		}
	}
	printf("%s: %ld ticks apart\n", __func__, behind);

	return behind > 0;
}

/* Stream */

static void read_back(int from, int file)
{
	static __u8 got[65536], want[65536];
	ssize_t bytes, all = 0;

	while ((bytes = read(from, got, sizeof(got))) > 0) {
		if (pread(file, want, bytes, all) != bytes ||
		    memcmp(got, want, bytes)) {
			printf("stream: not what was sent, after %zd bytes\n",
			       all);
			exit(1);
		}
		all += bytes;
	}
	printf("stream: %zd bytes came back\n", all);
	exit(all != lseek(file, 0, SEEK_END));
}

static int stream(char **arg)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = open(arg[0], O_RDONLY), s, status;
	pid_t reader;

	to.sin_addr.s_addr = inet_addr(arg[1]);
	to.sin_port = htons(atoi(arg[2]));
	s = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || s < 0)
		die(arg[0]);
	if (connect(s, (void *)&to, sizeof(to)))
		die("connect");

	reader = fork();
	if (!reader)
		read_back(s, fd);
	while (sendfile(s, fd, NULL, 1 << 20) > 0)
		;
	shutdown(s, SHUT_WR);
	waitpid(reader, &status, 0);

	return !WIFEXITED(status) || WEXITSTATUS(status);
}

/* RTAS */

/* PAPR, RTAS argument call buffer; the results follow the arguments. */
struct rtas_words {
	__u32 token, nr_args, nr_rets;
	__u32 args[16];
	__u64 rets;
};

static int indicator(char **arg)
{
	struct rtas_words words = { .nr_args = htonl(3), .nr_rets = htonl(1) };
	int fd = open(RTAS_TOKEN, O_RDONLY), i;

	if (fd < 0 || read(fd, &words.token, 4) != 4)
		die(RTAS_TOKEN);
	close(fd);
	for (i = 0; i < 3; i++)
		words.args[i] = htonl(strtoul(arg[i], NULL, 0));

	if (syscall(SYS_rtas, &words))
		die("rtas");
	if (words.args[3]) {
		printf("%s %s %s %s: %d\n", __func__, arg[0], arg[1], arg[2],
		       (int)ntohl(words.args[3]));
		return 1;
	}

	return 0;
}

/* Disks */

static int blocks(char **arg)
{
	int fd = open(arg[0], O_RDWR | O_DIRECT), nr = atoi(arg[1]), i;
	unsigned int seed = atoi(arg[2]);
	__u8 *out, *in;

	if (fd < 0)
		die(arg[0]);
	out = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	in = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (out == MAP_FAILED || in == MAP_FAILED)
		die("mmap");

	for (i = 0; i < nr && !arg[3]; i++) {
		fill(out, BLOCK_BYTES, seed + i);
		if (pwrite(fd, out, BLOCK_BYTES, i * BLOCK_BYTES) !=
		    (ssize_t)BLOCK_BYTES)
			die("write");
	}
	for (i = 0; i < nr; i++) {
		fill(out, BLOCK_BYTES, seed + i);
		memset(in, 0, BLOCK_BYTES);
		if (pread(fd, in, BLOCK_BYTES, i * BLOCK_BYTES) !=
		    (ssize_t)BLOCK_BYTES)
			die("read");
		if (memcmp(in, out, BLOCK_BYTES)) {
			printf("%s %s: MiB %d is not what was written\n",
			       __func__, arg[0], i);
			return 1;
		}
	}
	printf("%s %s: %d MiB as written\n", __func__, arg[0], nr);

	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc >= 5 && !strcmp(argv[1], "flood"))
		return flood(argv + 2);
	if (argc == 2 && !strcmp(argv[1], "clocks"))
		return clocks();
	if (argc == 5 && !strcmp(argv[1], "stream"))
		return stream(argv + 2);
	if (argc == 5 && !strcmp(argv[1], "indicator"))
		return indicator(argv + 2);
	if (argc >= 5 && !strcmp(argv[1], "blocks"))
		return blocks(argv + 2);

	fprintf(stderr, "%s flood|clocks|stream|indicator|blocks ...\n", argv[0]);

	return 2;
}
