// SPDX-License-Identifier: GPL-2.0
/*
 * The first process of a test machine: prepares it, runs what /plan names, and
 * switches it off.
 *
 * Every line of output goes through /dev/kmsg. A line written there reaches
 * the console whole; one written to the terminal can be cut in two by a
 * message of the kernel, and a cut result line is a lost result.
 *
 * /plan, one item per line:
 *   mode test | run     one KTAP document, or the plain output of one
 *   program NAME SECONDS [ARG...]
 *                       runs /tests/NAME, kills it after SECONDS of silence
 *   program NAME:KIND SECONDS [ARG...]
 *                       the same; its last arguments are the addresses of all
 *                       devices of that kind
 *   device KIND ID      devices to bind: vendor and device, as in sysfs
 *   only GLOB           runs only the cases that match
 *   skip NAME GLOB      leaves the cases that match out of this program
 *   need devices N      goes no further without N test devices, bound: without
 *   need PATH           them, or this file, most cases skip, which is no failure
 *
 * On a kernel with kmemleak, memory that is lost fails the program that ran.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_ITEMS	2048
#define MAX_FOUND	8
#define MAX_ARGS	(2 * MAX_ITEMS + 16 + MAX_FOUND)
/* The kernel cuts records of /dev/kmsg at 1 KiB; leave room for the indent. */
#define MAX_LINE	900
#define KSFT_SKIP	4
#define EDU_VENDOR	0x1234
#define EDU_DEVICE	0x11e8
/* How long a killed process may take to go, in seconds. */
#define DEATH_GRACE	10
#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
/* Objects younger than five seconds are not taken for leaks. */
#define LEAK_AGE	6

struct program {
	char *name;
	int seconds;
	char *args;
};

/* Devices that programs get as arguments */
struct kind {
	char name[16];
	unsigned int vendor, device;
	char *found[MAX_FOUND];
	int nr_found;
};

struct plan {
	bool demo;
	struct kind kinds[4];
	int nr_kinds;
	struct program programs[64];
	int nr_programs;
	char *only[MAX_ITEMS];
	int nr_only;
	char *skip[MAX_ITEMS];
	int nr_skip;
	char *need[MAX_ITEMS];
	int nr_need;
};

/* The end of a program. */
struct outcome {
	int status;
	bool silent;	/* killed because it said nothing for too long */
	bool stuck;	/* did not even die of SIGKILL */
};

/* Turns a stream of bytes into lines. */
struct liner {
	char buf[MAX_LINE + 1];
	size_t len;
	void (*line)(struct liner *l, char *text);
	void *priv;
};

static int kmsg = -1;

__attribute__((format(printf, 1, 2)))
static void say(const char *fmt, ...)
{
	char buf[MAX_LINE + 100];
	va_list ap;
	int n;

	n = snprintf(buf, sizeof(buf), "<5>");
	va_start(ap, fmt);
	n += vsnprintf(buf + n, sizeof(buf) - n, fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(buf) - 1)
		n = sizeof(buf) - 2;
	/* Without its newline a record waits for the next before it shows. */
	buf[n++] = '\n';

	/* An interrupted write is no reason to lose the line. */
	while (write(kmsg, buf, n) < 0 && (errno == EINTR || errno == EAGAIN))
		;
}

static void __attribute__((noreturn)) finish(const char *marker)
{
	say("powernv-init: %s", marker);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

static unsigned long read_hex(const char *path)
{
	char buf[32] = "";
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return 0;
	if (read(fd, buf, sizeof(buf) - 1) < 0)
		buf[0] = 0;
	close(fd);
	return strtoul(buf, NULL, 16);
}

static void mount_one(const char *type, const char *dir)
{
	mkdir(dir, 0755);
	if (mount(type, dir, type, 0, NULL) &&
	    errno != EBUSY && errno != ENODEV)
		say("# powernv-init: cannot mount %s: %s", dir, strerror(errno));
}

static void mount_all(void)
{
	mkdir("/dev", 0755);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	mount_one("proc", "/proc");
	mount_one("sysfs", "/sys");
	mount_one("debugfs", "/sys/kernel/debug");
	mount_one("tmpfs", "/tmp");
	mount_one("tmpfs", "/dev/shm");
	mount_one("hugetlbfs", "/dev/hugepages");
	/* Without this the kernel drops lines of a program that prints a lot. */
	write_file("/proc/sys/kernel/printk_devkmsg", "on");
}

static void give_to_vfio(const char *name)
{
	char path[320];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override",
		 name);
	if (!write_file(path, "vfio-pci"))
		say("# powernv-init: cannot bind %s: %s", name, strerror(errno));
	/* It may have another driver, or none. */
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver/unbind",
		 name);
	write_file(path, name);
	if (!write_file("/sys/bus/pci/drivers_probe", name))
		say("# powernv-init: cannot bind %s: %s", name, strerror(errno));
}

/* The devices of its group have no other driver, or nobody gets the group. */
static void bind_others(const char *name)
{
	char path[320], driver[PATH_MAX];
	struct dirent *d;
	ssize_t n;
	DIR *dir;

	snprintf(path, sizeof(path),
		 "/sys/bus/pci/devices/%s/iommu_group/devices", name);
	dir = opendir(path);
	while (dir && (d = readdir(dir))) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver",
			 d->d_name);
		n = readlink(path, driver, sizeof(driver) - 1);
		if (n < 0)
			continue;
		driver[n] = 0;
		if (!strstr(driver, "/vfio-pci") && !strstr(driver, "/pcieport"))
			give_to_vfio(d->d_name);
	}
	if (dir)
		closedir(dir);
}

/* What the plan calls such devices; test devices need no name. */
static struct kind *kind_of(struct plan *plan, const char *name)
{
	static struct kind edu = { .vendor = EDU_VENDOR, .device = EDU_DEVICE };
	unsigned long vendor, device;
	char path[320];
	int i;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", name);
	vendor = read_hex(path);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/device", name);
	device = read_hex(path);

	for (i = 0; i < plan->nr_kinds; i++)
		if (plan->kinds[i].vendor == vendor &&
		    plan->kinds[i].device == device)
			return &plan->kinds[i];
	return vendor == EDU_VENDOR && device == EDU_DEVICE ? &edu : NULL;
}

/* Is it a test device, and bound? */
static bool bind_device(struct plan *plan, const char *name)
{
	char path[320], driver[PATH_MAX];
	struct kind *kind = kind_of(plan, name);
	bool bound;
	ssize_t n;

	if (!kind)
		return false;

	give_to_vfio(name);
	bind_others(name);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", name);
	n = readlink(path, driver, sizeof(driver) - 1);
	driver[n < 0 ? 0 : n] = 0;
	bound = strstr(driver, "/vfio-pci");
	say("# powernv-init: test device %s %s", name,
	    bound ? "is bound" : "has no driver");
	if (bound && kind->nr_found < MAX_FOUND)
		kind->found[kind->nr_found++] = strdup(name);
	return bound;
}

static int bind_devices(struct plan *plan)
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	struct dirent *d;
	int bound = 0;

	if (!dir)
		return 0;
	while ((d = readdir(dir)))
		if (d->d_name[0] != '.')
			bound += bind_device(plan, d->d_name);
	closedir(dir);
	return bound;
}

static void plan_add(char **list, int *nr, char *text)
{
	if (*nr == MAX_ITEMS)
		finish("plan too long");
	list[(*nr)++] = strdup(text);
}

static void plan_program(struct plan *plan, char *rest)
{
	struct program *p = &plan->programs[plan->nr_programs];
	int end = 0;

	if (plan->nr_programs == 64 ||
	    sscanf(rest, "%ms %d%n", &p->name, &p->seconds, &end) != 2)
		finish("bad plan");
	p->args = strdup(rest + end);
	plan->nr_programs++;
}

static void plan_device(struct plan *plan, const char *rest)
{
	struct kind *k = &plan->kinds[plan->nr_kinds];

	if (plan->nr_kinds == 4 ||
	    sscanf(rest, "%15s %x:%x", k->name, &k->vendor, &k->device) != 3)
		finish("bad plan");
	plan->nr_kinds++;
}

static void plan_read(struct plan *plan)
{
	FILE *f = fopen("/plan", "r");
	char line[4096];

	if (!f)
		finish("no plan");
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (!strcmp(line, "mode run"))
			plan->demo = true;
		else if (!strncmp(line, "program ", 8))
			plan_program(plan, line + 8);
		else if (!strncmp(line, "device ", 7))
			plan_device(plan, line + 7);
		else if (!strncmp(line, "only ", 5))
			plan_add(plan->only, &plan->nr_only, line + 5);
		else if (!strncmp(line, "skip ", 5))
			plan_add(plan->skip, &plan->nr_skip, line + 5);
		else if (!strncmp(line, "need ", 5))
			plan_add(plan->need, &plan->nr_need, line + 5);
	}
	fclose(f);
}

static void check_needs(const struct plan *plan, int devices)
{
	char marker[MAX_LINE];
	int i, nr;

	for (i = 0; i < plan->nr_need; i++) {
		if (sscanf(plan->need[i], "devices %d", &nr) == 1 ?
		    devices >= nr : !access(plan->need[i], F_OK))
			continue;
		snprintf(marker, sizeof(marker), "no %s", plan->need[i]);
		finish(marker);
	}
}

static void liner_feed(struct liner *l, const char *data, size_t n)
{
	for (; n; n--, data++) {
		if (*data != '\n' && *data != '\r')
			l->buf[l->len++] = *data;
		if (*data != '\n' && l->len < MAX_LINE)
			continue;
		l->buf[l->len] = 0;
		l->line(l, l->buf);
		l->len = 0;
	}
}

static void liner_end(struct liner *l)
{
	if (l->len)
		liner_feed(l, "\n", 1);
}

static pid_t start(char **argv, int *out)
{
	int pipefd[2];
	pid_t pid;

	if (pipe2(pipefd, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		int null = open("/dev/null", O_RDONLY);

		setsid();
		dup2(null, 0);
		dup2(pipefd[1], 1);
		dup2(pipefd[1], 2);
		execv(argv[0], argv);
		dprintf(2, "# cannot run %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(pipefd[1]);
	*out = pipefd[0];
	return pid;
}

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* Passes on what is there; false at the end of the stream. */
static bool pump(int fd, struct liner *l, int wait_ms, bool *got)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char buf[4096];
	ssize_t n;

	*got = false;
	if (poll(&pfd, 1, wait_ms) <= 0)
		return true;
	n = read(fd, buf, sizeof(buf));
	if (n <= 0)
		return n < 0 && errno == EINTR;
	liner_feed(l, buf, n);
	*got = true;
	return true;
}

/* A child that is stuck in the kernel never comes back: do not wait for it. */
static bool reap(pid_t pid, int *status, int seconds)
{
	time_t limit = now() + seconds;

	do {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		usleep(10000);
	} while (now() < limit);
	return false;
}

static struct outcome run_argv(char **argv, int seconds, struct liner *l)
{
	struct outcome o = { .status = -1 };
	bool dead = false, got;
	time_t last = now();
	int fd;
	pid_t pid = start(argv, &fd);

	if (pid < 0)
		return o;

	while (pump(fd, l, 50, &got)) {
		if (got) {
			last = now();
			continue;
		}
		/* A grandchild may hold the pipe open: do not wait for it. */
		if (dead)
			break;
		dead = waitpid(pid, &o.status, WNOHANG) == pid;
		if (!dead && now() - last >= seconds) {
			o.silent = true;
			break;
		}
	}

	/* Nothing but this process may live on into the next program. */
	if (dead || (!o.silent && reap(pid, &o.status, seconds))) {
		kill(-1, SIGKILL);
	} else {
		o.silent = true;
		kill(-1, SIGKILL);
		o.stuck = !reap(pid, &o.status, DEATH_GRACE);
	}
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	pump(fd, l, 0, &got);
	liner_end(l);
	close(fd);
	return o;
}

static bool skips(const struct outcome *o)
{
	return !o->silent && WIFEXITED(o->status) &&
	       WEXITSTATUS(o->status) == KSFT_SKIP;
}

static bool ended_well(const struct outcome *o)
{
	return skips(o) || (!o->silent && WIFEXITED(o->status) &&
			    !WEXITSTATUS(o->status));
}

/* The cases of a program that are to run, as arguments for it. */
struct selection {
	const struct plan *plan;
	const char *program;
	char **argv;
	int argc;
	int nr_listed;
	/* the fixture that is being listed */
	char *fixture;
	char *variants[128];
	int nr_variants;
	char *tests[512];
	int nr_tests;
};

static bool selected(const struct selection *s, const char *name)
{
	char skip[800];
	int i;

	snprintf(skip, sizeof(skip), "%s %s", s->program, name);
	for (i = 0; i < s->plan->nr_skip; i++)
		if (!fnmatch(s->plan->skip[i], skip, 0))
			return false;
	for (i = 0; i < s->plan->nr_only; i++)
		if (!fnmatch(s->plan->only[i], name, 0))
			return true;
	return !s->plan->nr_only;
}

static void select_case(struct selection *s, const char *variant,
			const char *test)
{
	char name[512];

	s->nr_listed++;
	snprintf(name, sizeof(name), "%s%s%s.%s", s->fixture,
		 variant ? "." : "", variant ?: "", test);
	if (!selected(s, name) || s->argc + 3 + MAX_FOUND > MAX_ARGS)
		return;
	s->argv[s->argc++] = "-r";
	s->argv[s->argc++] = strdup(name);
}

static void select_fixture(struct selection *s)
{
	int v, t;

	for (t = 0; t < s->nr_tests; t++) {
		if (!s->nr_variants)
			select_case(s, NULL, s->tests[t]);
		for (v = 0; v < s->nr_variants; v++)
			select_case(s, s->variants[v], s->tests[t]);
	}
	s->nr_tests = 0;
	s->nr_variants = 0;
}

/*
 * The test harness lists a fixture as a table of three columns: its name (in
 * the first line only), its variants, its tests. The last two run side by
 * side, and either may be the longer; a line without a test ends in a blank.
 */
static void list_line(struct liner *l, char *line)
{
	struct selection *s = l->priv;
	bool has_test = line[0] && line[strlen(line) - 1] != ' ';
	char *a = NULL, *b = NULL;
	int start = 0;

	if (line[0] == '#' || line[0] == '-' || !line[0])
		return;
	if (line[0] != ' ') {
		select_fixture(s);
		if (sscanf(line, "%ms%n", &s->fixture, &start) != 1)
			return;
	}
	if (sscanf(line + start, "%ms %ms", &a, &b) < 1)
		return;
	if ((b || !has_test) && s->nr_variants < 128)
		s->variants[s->nr_variants++] = a;
	if (has_test && s->nr_tests < 512)
		s->tests[s->nr_tests++] = b ?: a;
}

/* Adds the devices that a program called NAME:KIND is for. */
static void add_devices(const struct plan *plan, const char *program,
			char **argv, int argc)
{
	const char *colon = strchr(program, ':');
	int i, k;

	for (k = 0; colon && k < plan->nr_kinds; k++)
		for (i = 0; i < plan->kinds[k].nr_found; i++)
			if (!strcmp(plan->kinds[k].name, colon + 1))
				argv[argc++] = plan->kinds[k].found[i];
	argv[argc] = NULL;
}

/*
 * Returns how many of its cases are wanted; -1 when it does not list them, one
 * when it says that all of it is skipped.
 */
static int select_cases(const struct plan *plan, const char *name, char **argv,
			int *argc)
{
	struct selection s = {
		.plan = plan, .program = name, .argv = argv, .argc = *argc,
	};
	struct liner l = { .line = list_line, .priv = &s };
	char *list_argv[3 + MAX_FOUND] = { argv[0], "-l" };
	struct outcome o;
	int wanted;

	add_devices(plan, name, list_argv, 2);
	o = run_argv(list_argv, 20, &l);
	select_fixture(&s);
	if (skips(&o) && !s.nr_listed)
		return 1;
	if (!ended_well(&o) || !s.nr_listed)
		return -1;
	wanted = (s.argc - *argc) / 2;
	*argc = s.argc;
	return wanted;
}

static int build_argv(const struct program *p, char **argv)
{
	static char path[256];
	char *args = strdup(p->args);
	char *word;
	int argc = 1;

	snprintf(path, sizeof(path), "/tests/%.*s",
		 (int)strcspn(p->name, ":"), p->name);
	argv[0] = path;
	for (word = strtok(args, " "); word; word = strtok(NULL, " "))
		if (argc < 16)
			argv[argc++] = word;
	argv[argc] = NULL;
	return argc;
}

/*
 * A program's output becomes a subtest: indented, under one header. Its own
 * header goes, as the parser wants the name right behind the version.
 */
struct subtest {
	const char *name;
	bool started;
};

static void test_line(struct liner *l, char *line)
{
	struct subtest *t = l->priv;

	if (!t->started && (!strncmp(line, "TAP version ", 12) ||
			    !strncmp(line, "KTAP version ", 13))) {
		t->started = true;
		say("    KTAP version 1");
		say("    # Subtest: %s", t->name);
	} else if (t->started) {
		say("    %s", line);
	} else {
		say("    # %s", line);
	}
}

static const char *directive(const struct outcome *o, char *buf, size_t size)
{
	if (o->stuck)
		return " # stuck in the kernel, does not die";
	if (o->silent)
		return " # killed, silent for too long";
	if (WIFSIGNALED(o->status))
		snprintf(buf, size, " # killed by signal %d",
			 WTERMSIG(o->status));
	else if (WEXITSTATUS(o->status) == KSFT_SKIP)
		return " # SKIP";
	else if (WEXITSTATUS(o->status))
		snprintf(buf, size, " # exit status %d",
			 WEXITSTATUS(o->status));
	else
		return "";
	return buf;
}

/*
 * Memory that nothing points to. Twice, because what one scan finds has to
 * stay as it is until the next.
 */
static bool scan_for_leaks(void)
{
	sleep(LEAK_AGE);
	return write_file(KMEMLEAK, "scan") && write_file(KMEMLEAK, "scan");
}

/* Memory lost by the boot, up to now, is not the tests' fault. */
static void forget_leaks(void)
{
	if (scan_for_leaks())
		write_file(KMEMLEAK, "clear");
}

static void leak_line(struct liner *l, char *line)
{
	*(bool *)l->priv = true;
	/* Not indented: ktap.py takes its first line for the kernel's. */
	say("%s", line);
}

/* Does the program leave memory of the kernel behind that is lost? */
static bool leaks(void)
{
	bool found = false;
	struct liner l = { .line = leak_line, .priv = &found };
	char buf[4096];
	ssize_t n;
	int fd;

	if (!scan_for_leaks())
		return false;
	fd = open(KMEMLEAK, O_RDONLY);
	if (fd < 0)
		return false;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		liner_feed(&l, buf, n);
	liner_end(&l);
	close(fd);
	write_file(KMEMLEAK, "clear");
	return found;
}

static void run_test(const struct plan *plan, const struct program *p, int nr)
{
	static char *argv[MAX_ARGS];
	struct subtest t = { .name = p->name };
	struct liner l = { .line = test_line, .priv = &t };
	struct outcome o;
	char buf[64];
	int argc = build_argv(p, argv);
	int wanted = 1;
	bool ok, leaked;

	say("    # powernv-init: program %s", p->name);
	if (plan->nr_only || plan->nr_skip)
		wanted = select_cases(plan, p->name, argv, &argc);
	if (wanted < 0) {
		say("not ok %d %s # does not list its cases", nr, p->name);
		return;
	}
	if (!wanted) {
		say("ok %d %s # SKIP no case selected", nr, p->name);
		return;
	}
	add_devices(plan, p->name, argv, argc);
	o = run_argv(argv, p->seconds, &l);
	leaked = !o.stuck && leaks();
	/* Without a header nothing of what it printed counts, unless it skips. */
	t.started |= skips(&o);
	ok = ended_well(&o) && !leaked && t.started;
	say("%s %d %s%s", ok ? "ok" : "not ok", nr, p->name,
	    leaked ? " # memory is lost" :
	    ended_well(&o) && !t.started ? " # no KTAP" :
	    directive(&o, buf, sizeof(buf)));
	if (o.stuck)
		finish("stuck");
}

static void run_tests(const struct plan *plan)
{
	int i;

	say("KTAP version 1");
	say("1..%d", plan->nr_programs);
	forget_leaks();
	for (i = 0; i < plan->nr_programs; i++)
		run_test(plan, &plan->programs[i], i + 1);
	finish("end");
}

static void demo_line(struct liner *l __attribute__((unused)), char *line)
{
	say("run| %s", line);
}

static void run_demo(const struct plan *plan)
{
	struct liner l = { .line = demo_line };
	static char *argv[MAX_ARGS];
	struct outcome o;

	if (plan->nr_programs != 1)
		finish("bad plan");
	build_argv(&plan->programs[0], argv);
	o = run_argv(argv, plan->programs[0].seconds, &l);
	say("powernv-init: status %d", o.silent || !WIFEXITED(o.status) ?
	    255 : WEXITSTATUS(o.status));
	finish("end");
}

int main(void)
{
	static struct plan plan;
	int devices;

	mount_all();
	setenv("PATH", "/tests:/bin:/sbin", 1);
	setenv("HOME", "/tmp", 1);
	plan_read(&plan);
	devices = bind_devices(&plan);
	check_needs(&plan, devices);
	if (plan.demo)
		run_demo(&plan);
	run_tests(&plan);
	return 0;
}
