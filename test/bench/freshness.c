/*-------------------------------------------------------------------------
 *
 * freshness.c
 *	  Measures how long a commit takes to become visible in a view.
 *
 * Usage: freshness [RATE [SECONDS [view|wait|fetch|floor]]], connection from the environment.
 * Needs a table pulses(n bigint) and the view pulse_view, "SELECT count(*) AS n
 * FROM pulses", empty at the start.
 *
 * A writer thread inserts one row per transaction at a fixed rate, on schedule
 * whether or not the earlier ones are visible yet: a stall counts for every
 * commit that falls into it (no coordinated omission).  It notes when each
 * commit was acknowledged.  A reader thread on a connection of its own finds
 * out when each is visible, in one of these ways:
 *
 * view		While a commit is outstanding, the view is read again and again with a
 *			short sleep between; a count of k shows commits 1 to k.  The figure is
 *			taken at the end of the reading, so it is too large by up to one
 *			reading and one sleep (printed as "resolution"), never too small.
 *			Nothing but the view's rows is trusted.  This is the benchmark's way.
 * wait		derive.wait() is called while a commit is outstanding; when it returns,
 *			those acknowledged before the call are visible.  This is what a program
 *			that reads its own writes sees, round trip included; nothing polls.
 * fetch	derive.fetch() with a wait is called all the time, for the consumer probe of an
 *			outbox pulse_events over pulses; what it returns is acknowledged in the same
 *			transaction, after the clock was read.
 * floor	SELECT 1 instead: how slow the machine and this program are by themselves.
 *
 * While nothing is outstanding the reader sleeps on a condition variable, so
 * that an idle machine is really idle.  Output: p50 p99 max resolution (all in
 * ms), number of commits.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libpq-fe.h"

#define PROBE_SLEEP_US 50
#define FETCH \
	"SELECT count(*) FILTER (WHERE type = 'insert')" \
	" FROM derive.fetch('pulse_events', 'probe', 1000, '30 s', '30 s')"
#define ACK \
	"SELECT derive.ack('pulse_events', 'probe', 9223372036854775807, token)" \
	" FROM derive.consumers WHERE consumer = 'probe'"

typedef struct Run
{
	double rate;
	double seconds;
	const char *statement; /* the reader's */
	bool returns_count;	   /* it does, else its end shows what was committed before */
	bool fetches;		   /* it waits by itself, and returns how many more there are */
	int commits;		   /* to make */
	double *committed_at;  /* seconds, per commit; written by the writer */
	double *visible_at;	   /* written by the reader */
	double probe_seconds;  /* spent in probes; reader only */
	long probes;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	int committed; /* commits acknowledged; under lock */
} Run;

/* Returns the monotonic clock in seconds. */
static double
now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Sleeps until a time of the monotonic clock. */
static void
sleep_until(double when)
{
	struct timespec until = {.tv_sec = (time_t) when};

	until.tv_nsec = (long) ((when - until.tv_sec) * 1e9);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* Connects and prepares the one statement of this connection, or exits. */
static PGconn *
connect_with(const char *statement)
{
	PGconn *conn = PQconnectdb("");
	PGresult *res;

	if (PQstatus(conn) == CONNECTION_OK)
	{
		res = PQprepare(conn, "s", statement, 0, NULL);
		if (PQresultStatus(res) == PGRES_COMMAND_OK)
		{
			PQclear(res);
			return conn;
		}
	}
	fprintf(stderr, "freshness: %s", PQerrorMessage(conn));
	exit(1);
}

/* Runs the connection's statement and returns its first value as a number. */
static long
run_statement(PGconn *conn)
{
	PGresult *res = PQexecPrepared(conn, "s", 0, NULL, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(res);
	long value = 0;

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
	{
		fprintf(stderr, "freshness: %s", PQerrorMessage(conn));
		exit(1);
	}
	if (PQntuples(res) > 0)
		value = atol(PQgetvalue(res, 0, 0));
	PQclear(res);
	return value;
}

/* The writer thread: a commit per period. */
static void *
write_pulses(void *arg)
{
	Run *run = arg;
	PGconn *conn = connect_with("INSERT INTO pulses VALUES (1)");
	double start = now_seconds();

	for (int i = 0; i < run->commits; i++)
	{
		sleep_until(start + i / run->rate);
		run_statement(conn);
		pthread_mutex_lock(&run->lock);
		run->committed_at[i] = now_seconds();
		run->committed = i + 1;
		pthread_cond_signal(&run->changed);
		pthread_mutex_unlock(&run->lock);
	}
	PQfinish(conn);
	return NULL;
}

/* Sleeps until a commit beyond those seen is acknowledged; returns how many are. */
static int
await_commit(Run *run, int seen)
{
	int committed;

	pthread_mutex_lock(&run->lock);
	while (run->committed <= seen)
		pthread_cond_wait(&run->changed, &run->lock);
	committed = run->committed;
	pthread_mutex_unlock(&run->lock);
	return committed;
}

/* The reader thread that fetches: notes for each commit when its event has come. */
static void *
fetch_pulses(void *arg)
{
	Run *run = arg;
	PGconn *conn = connect_with(run->statement);
	int seen = 0;

	while (seen < run->commits)
	{
		long more;
		double end;

		PQclear(PQexec(conn, "BEGIN"));
		more = run_statement(conn);
		end = now_seconds();
		for (; more > 0 && seen < run->commits; more--)
			run->visible_at[seen++] = end;
		PQclear(PQexec(conn, ACK));
		PQclear(PQexec(conn, "COMMIT"));
	}
	run->probes = 1;
	PQfinish(conn);
	return NULL;
}

/* The reader thread: notes for each commit when it is visible. */
static void *
read_pulses(void *arg)
{
	Run *run = arg;
	PGconn *conn = connect_with(run->statement);
	int seen = 0;

	while (seen < run->commits)
	{
		int committed = await_commit(run, seen);
		double start = now_seconds();
		long visible = run_statement(conn);
		double end = now_seconds();

		if (!run->returns_count)
			visible = committed;
		for (; seen < visible && seen < run->commits; seen++)
			run->visible_at[seen] = end;
		run->probe_seconds += end - start;
		run->probes++;
		if (seen < committed)
			sleep_until(end + PROBE_SLEEP_US / 1e6);
	}
	PQfinish(conn);
	return NULL;
}

/* Orders numbers for qsort. */
static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

/* Prints the distribution of what was measured. */
static void
print_result(Run *run)
{
	double *ms = run->visible_at;

	for (int i = 0; i < run->commits; i++)
	{
		/* Visible before the acknowledgment arrived: no delay at all. */
		ms[i] = (run->visible_at[i] - run->committed_at[i]) * 1000;
		if (ms[i] < 0)
			ms[i] = 0;
	}
	qsort(ms, run->commits, sizeof(double), compare_doubles);
	printf("%.3f %.3f %.3f %.3f %d\n", ms[run->commits / 2],
		   ms[(int) (run->commits * 0.99)], ms[run->commits - 1],
		   run->probe_seconds / run->probes * 1000 +
			   (run->returns_count ? PROBE_SLEEP_US / 1000.0 : 0),
		   run->commits);
}

int
main(int argc, char **argv)
{
	Run run = {.rate = 100, .seconds = 10};
	const char *method = argc > 3 ? argv[3] : "view";
	pthread_t writer;
	pthread_t reader;

	if (argc > 1)
		run.rate = atof(argv[1]);
	if (argc > 2)
		run.seconds = atof(argv[2]);
	run.returns_count = strcmp(method, "view") == 0;
	run.fetches = strcmp(method, "fetch") == 0;
	run.statement = run.fetches ? FETCH
					: run.returns_count			  ? "SELECT n FROM pulse_view"
					: strcmp(method, "wait") == 0 ? "SELECT derive.wait()"
												  : "SELECT 1";
	run.commits = (int) (run.rate * run.seconds);
	if (run.commits < 1)
	{
		fprintf(stderr, "Usage: freshness [RATE [SECONDS [view|wait|fetch|floor]]]\n");
		return 2;
	}
	run.committed_at = calloc(run.commits, sizeof(double));
	run.visible_at = calloc(run.commits, sizeof(double));
	pthread_mutex_init(&run.lock, NULL);
	pthread_cond_init(&run.changed, NULL);
	pthread_create(&writer, NULL, write_pulses, &run);
	pthread_create(&reader, NULL, run.fetches ? fetch_pulses : read_pulses, &run);
	pthread_join(writer, NULL);
	pthread_join(reader, NULL);
	print_result(&run);
	return 0;
}
