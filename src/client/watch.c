/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  pg_derive watch: pipelines and views while they work.
 *
 * Every interval the two relations derive.pipelines and derive.views are read;
 * rates are differences of their counters over the server's own clock.  On a
 * terminal the table is redrawn in place on the alternate screen, and the last
 * one stays behind at the end; elsewhere each row becomes a line of key=value.
 *
 * Signals and the terminal: the handler only writes the signal's number into a
 * pipe that the main loop polls, and for those that end the program cancels a
 * running query, so that there is no moment at which Ctrl-C is lost.  Ctrl-C is
 * the ordinary way to end and exits with 0.  The terminal is put back before
 * the process ends or stops, whatever ended it.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "table.h"

/* Counters of one pipeline or view at the last reading. */
typedef struct Sample
{
	char *key;
	double counters[3];
} Sample;

typedef struct Samples
{
	Sample *items;
	int count;
	double taken_at; /* server's clock, seconds */
} Samples;

typedef struct Watch
{
	PGconn *conn;
	double interval;
	long count;	   /* readings to take; 0 means until Ctrl-C */
	bool terminal; /* stdout is one */
	bool keyboard; /* stdin is one, too, and ours */
	Samples pipelines;
	Samples views;
	Table *pipeline_table;
	Table *view_table;
	char *now; /* time of day of the last reading */
} Watch;

static const TableColumn pipeline_columns[] = {
	{"PIPELINE", "pipeline", false},
	{"STATE", "state", false},
	{"LAG ms", "lag_ms", true},
	{"WRITERS tx/s", "commits_per_s", true},
	{"CHANGES/s", "changes_per_s", true},
	{"TICKS/s", "ticks_per_s", true},
	{"SENT", "sent", true},
	{"WAL KEPT", "retained_wal", true},
};

static const TableColumn view_columns[] = {
	{"VIEW", "view", false},		   {"STATE", "state", false},
	{"LAG ms", "lag_ms", true},		   {"ROWS/s", "rows_per_s", true},
	{"CHANGED", "rows_changed", true}, {"TICKS/s", "ticks_per_s", true},
	{"TICK ms", "tick_ms", true},	   {"RULE", "rule", false},
};

#define LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))

static const char pipeline_query[] =
	"SELECT pipeline, pipeline, state, reason, EXTRACT(epoch FROM lag) * 1000,"
	" commits, changes, ticks,"
	" pg_catalog.pg_size_pretty(queue_bytes), pg_catalog.pg_size_pretty(retained_wal),"
	" EXTRACT(epoch FROM pg_catalog.clock_timestamp()),"
	" pg_catalog.to_char(pg_catalog.clock_timestamp(), 'HH24:MI:SS')"
	" FROM derive.pipelines ORDER BY pipeline";

static const char view_query[] =
	"SELECT \"view\"::pg_catalog.oid, \"view\", state, reason,"
	" EXTRACT(epoch FROM lag) * 1000,"
	" rows_changed, ticks, 0, EXTRACT(epoch FROM last_tick_time) * 1000, rule,"
	" EXTRACT(epoch FROM pg_catalog.clock_timestamp())"
	" FROM derive.views ORDER BY \"view\"::pg_catalog.text";

/* Columns that both queries have in the same place. */
enum
{
	COL_KEY,
	COL_NAME,
	COL_STATE,
	COL_REASON,
	COL_LAG,
	COL_COUNTERS,
	COL_EXTRA = COL_COUNTERS + 3,
	COL_CLOCK = COL_EXTRA + 2,
	COL_TIME
};

static int signal_pipe[2] = {-1, -1};
static struct termios saved_termios;
static bool termios_saved = false;
static bool screen_taken = false;

/* Prints what --help asks for. */
static void
print_help(void)
{
	printf("%s watch shows pipelines and views while they work.\n\n", CLIENT_NAME);
	printf("Usage:\n  %s watch [OPTION]...\n", CLIENT_NAME);
	printf(
		"\nOn a terminal a table is redrawn in place until \"q\" or Ctrl-C; elsewhere\n"
		"each row is a line of key=value.  Times are in milliseconds.\n");
	printf("\nOptions:\n"
		   "      --count=NUM          stop after NUM readings\n"
		   "      --interval=SECONDS   time between readings (default: 1)\n"
		   "  -?, --help               show this help, then exit\n");
	derive_client_print_connection_help();
}

/* Gives the terminal back as it was; harmless if it was never taken. */
static void
restore_terminal(void)
{
	if (termios_saved)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved_termios);
	if (screen_taken)
	{
		fputs("\033[?25h\033[?1049l", stdout); /* cursor, ordinary screen */
		fflush(stdout);
	}
	termios_saved = false;
	screen_taken = false;
}

/* Takes the alternate screen without a cursor, and keys without echo. */
static void
take_terminal(const Watch *watch)
{
	struct termios raw;

	if (!watch->terminal)
		return;
	fputs("\033[?1049h\033[?25l", stdout);
	fflush(stdout);
	screen_taken = true;
	if (!watch->keyboard || tcgetattr(STDIN_FILENO, &saved_termios) != 0)
		return;
	termios_saved = true;
	raw = saved_termios;
	raw.c_lflag &= ~(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

/* Says whether a signal asks the program to end. */
static bool
is_fatal(int signo)
{
	return signo == SIGINT || signo == SIGTERM || signo == SIGHUP;
}

/* Passes a signal on to the main loop. */
static void
handle_signal(int signo)
{
	int saved_errno = errno;
	char byte = (char) signo;

	/* A full pipe already holds more than the loop needs to wake up. */
	if (write(signal_pipe[1], &byte, 1) < 0)
		errno = saved_errno;
	if (is_fatal(signo))
		derive_client_cancel_query();
	errno = saved_errno;
}

/* Sends the signals of interest through the pipe. */
static void
catch_signals(PGconn *conn)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP};
	struct sigaction action = {0};

	if (pipe(signal_pipe) != 0)
	{
		derive_client_error("could not create a pipe: %s", strerror(errno));
		exit(EXIT_ERROR);
	}
	for (int i = 0; i < 2; i++)
		fcntl(signal_pipe[i], F_SETFL, O_NONBLOCK);
	derive_client_prepare_cancel(conn);
	action.sa_handler = handle_signal;
	action.sa_flags = SA_RESTART;
	for (int i = 0; i < LENGTH(signals); i++)
		sigaction(signals[i], &action, NULL);
}

/* Finds the earlier counters of a pipeline or view, or NULL. */
static const Sample *
find_sample(const Samples *samples, const char *key)
{
	for (int i = 0; i < samples->count; i++)
		if (strcmp(samples->items[i].key, key) == 0)
			return &samples->items[i];
	return NULL;
}

/* Forgets the earlier counters. */
static void
free_samples(Samples *samples)
{
	for (int i = 0; i < samples->count; i++)
		free(samples->items[i].key);
	free(samples->items);
}

/* Returns the counters in a result, whose clock is that of its first row. */
static Samples
take_samples(const PGresult *res)
{
	Samples samples = {0};

	samples.count = PQntuples(res);
	samples.items = derive_client_alloc(samples.count * sizeof(Sample));
	for (int row = 0; row < samples.count; row++)
	{
		samples.items[row].key = derive_client_format("%s",
													  PQgetvalue(res, row, COL_KEY));
		for (int i = 0; i < 3; i++)
			samples.items[row].counters[i] = atof(PQgetvalue(res, row, COL_COUNTERS + i));
	}
	if (samples.count > 0)
		samples.taken_at = atof(PQgetvalue(res, 0, COL_CLOCK));
	return samples;
}

/*
 * Returns a counter's rate since the earlier reading as text; "-" if there is
 * none or the counter began again (its worker did).
 */
static char *
format_rate(const Samples *before, const Samples *after, int row, int counter)
{
	const Sample *now = &after->items[row];
	const Sample *then = find_sample(before, now->key);
	double seconds = after->taken_at - before->taken_at;
	double rate;

	if (then == NULL || seconds <= 0 || now->counters[counter] < then->counters[counter])
		return derive_client_format("-");
	rate = (now->counters[counter] - then->counters[counter]) / seconds;
	return derive_client_format(rate < 10 ? "%.1f" : "%.0f", rate);
}

/* Returns a value that may be null as text. */
static char *
format_text(const PGresult *res, int row, int col)
{
	return derive_client_format(
		"%s", PQgetisnull(res, row, col) ? "-" : PQgetvalue(res, row, col));
}

/* Returns a number of milliseconds as text with digits that mean something. */
static char *
format_ms(const PGresult *res, int row, int col)
{
	double ms = atof(PQgetvalue(res, row, col));

	if (PQgetisnull(res, row, col))
		return derive_client_format("-");
	return derive_client_format(ms < 10 ? "%.2f" : "%.0f", ms);
}

/* Adds the reason of a state that has one. */
static void
add_reason(Table *table, const PGresult *res, int row)
{
	if (*PQgetvalue(res, row, COL_REASON) != '\0')
		derive_table_add_note(table, "reason", PQgetvalue(res, row, COL_REASON));
}

/* Makes the table of pipelines from a reading and the one before. */
static Table *
make_pipeline_table(const PGresult *res, const Samples *before, const Samples *after)
{
	Table *table = derive_table_create(pipeline_columns, LENGTH(pipeline_columns));

	for (int row = 0; row < PQntuples(res); row++)
	{
		char *cells[] = {
			format_text(res, row, COL_NAME),	format_text(res, row, COL_STATE),
			format_ms(res, row, COL_LAG),		format_rate(before, after, row, 0),
			format_rate(before, after, row, 1), format_rate(before, after, row, 2),
			format_text(res, row, COL_EXTRA),	format_text(res, row, COL_EXTRA + 1),
		};

		derive_table_add_row(table, cells);
		add_reason(table, res, row);
	}
	return table;
}

/* Makes the table of views from a reading and the one before. */
static Table *
make_view_table(const PGresult *res, const Samples *before, const Samples *after)
{
	Table *table = derive_table_create(view_columns, LENGTH(view_columns));

	for (int row = 0; row < PQntuples(res); row++)
	{
		char *cells[] = {
			format_text(res, row, COL_NAME),	 format_text(res, row, COL_STATE),
			format_ms(res, row, COL_LAG),		 format_rate(before, after, row, 0),
			format_text(res, row, COL_COUNTERS), format_rate(before, after, row, 1),
			format_ms(res, row, COL_EXTRA),		 format_text(res, row, COL_EXTRA + 1),
		};

		derive_table_add_row(table, cells);
		add_reason(table, res, row);
	}
	return table;
}

/* Runs one of the two queries; NULL if it was cancelled by a signal. */
static PGresult *
run_query(PGconn *conn, const char *sql)
{
	PGresult *res = PQexecParams(conn, sql, 0, NULL, NULL, NULL, NULL, 0);
	const char *sqlstate;

	if (PQresultStatus(res) == PGRES_TUPLES_OK)
		return res;
	sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	if (sqlstate == NULL || strcmp(sqlstate, "57014") != 0)
	{
		restore_terminal();
		exit(derive_client_report(conn, res));
	}
	PQclear(res);
	return NULL;
}

/* Reads both relations and makes both tables anew; false if cancelled. */
static bool
read_server(Watch *watch)
{
	PGresult *pipelines = run_query(watch->conn, pipeline_query);
	PGresult *views = pipelines ? run_query(watch->conn, view_query) : NULL;
	Samples samples;

	if (views == NULL)
	{
		PQclear(pipelines);
		return false;
	}
	if (watch->pipeline_table)
		derive_table_free(watch->pipeline_table);
	if (watch->view_table)
		derive_table_free(watch->view_table);
	free(watch->now);

	samples = take_samples(pipelines);
	watch->pipeline_table = make_pipeline_table(pipelines, &watch->pipelines, &samples);
	free_samples(&watch->pipelines);
	watch->pipelines = samples;

	samples = take_samples(views);
	watch->view_table = make_view_table(views, &watch->views, &samples);
	free_samples(&watch->views);
	watch->views = samples;

	watch->now = derive_client_format("%s", PQntuples(pipelines) > 0
												? PQgetvalue(pipelines, 0, COL_TIME)
												: "no pipeline");
	PQclear(pipelines);
	PQclear(views);
	return true;
}

/* Draws title and both tables into width columns and height lines. */
static void
draw_tables(const Watch *watch, int width, int height, const char *line_end)
{
	char *title = derive_client_format("%s  %s  every %g s%s", PQdb(watch->conn),
									   watch->now, watch->interval,
									   watch->keyboard ? "  (q to quit)" : "");

	derive_table_put(stdout, title, width);
	fprintf(stdout, "%s%s", line_end, line_end);
	height -= 2;
	height -= derive_table_draw(watch->pipeline_table, stdout, width, height, line_end);
	fputs(line_end, stdout);
	derive_table_draw(watch->view_table, stdout, width, height - 1, line_end);
	free(title);
}

/* Redraws the screen from the last reading. */
static void
redraw(const Watch *watch)
{
	struct winsize size = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 ||
		size.ws_row == 0)
	{
		size.ws_col = 80;
		size.ws_row = 24;
	}
	fputs("\033[H", stdout);
	/* Each line is ended by erasing what an earlier, longer one left behind. */
	draw_tables(watch, size.ws_col, size.ws_row - 1, "\033[K\r\n");
	fputs("\033[J", stdout);
	derive_client_flush();
}

/* Shows the last reading. */
static void
show(const Watch *watch)
{
	if (watch->terminal)
		redraw(watch);
	else
	{
		derive_table_print_plain(watch->pipeline_table, stdout, watch->now);
		derive_table_print_plain(watch->view_table, stdout, watch->now);
		derive_client_flush();
	}
}

/* Returns the monotonic clock in seconds. */
static double
monotonic_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Stops as Ctrl-Z asks, with the terminal given back meanwhile. */
static void
stop_and_continue(Watch *watch)
{
	restore_terminal();
	raise(SIGSTOP);
	take_terminal(watch);
	show(watch);
}

/* Reacts to the signals in the pipe; returns true if one ends the program. */
static bool
serve_signals(Watch *watch)
{
	char signo;

	while (read(signal_pipe[0], &signo, 1) == 1)
	{
		if (is_fatal(signo))
			return true;
		if (signo == SIGTSTP)
			stop_and_continue(watch);
		else if (signo == SIGWINCH && watch->terminal)
			redraw(watch);
	}
	return false;
}

/* Says whether the keys pressed ask for the end; a closed input is no longer watched. */
static bool
serve_keys(Watch *watch)
{
	char key;
	ssize_t n = read(STDIN_FILENO, &key, 1);

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		watch->keyboard = false;
	return n == 1 && (key == 'q' || key == 'Q');
}

/* Sleeps until the deadline; returns true if the user wants to end. */
static bool
wait_until(Watch *watch, double deadline)
{
	for (;;)
	{
		struct pollfd fds[] = {
			{.fd = signal_pipe[0], .events = POLLIN},
			{.fd = watch->keyboard ? STDIN_FILENO : -1, .events = POLLIN},
		};
		double left = deadline - monotonic_seconds();

		if (poll(fds, 2, left > 0 ? (int) ceil(left * 1000) : 0) < 0)
			continue; /* a signal: its byte is in the pipe now */
		if (fds[0].revents && serve_signals(watch))
			return true;
		if (fds[1].revents && serve_keys(watch))
			return true;
		if (left <= 0)
			return false;
	}
}

/* Reads and shows every interval until the count is reached or the user ends it. */
static void
watch_loop(Watch *watch)
{
	double deadline = monotonic_seconds();

	for (long reading = 1;; reading++)
	{
		if (read_server(watch))
			show(watch);
		if (reading == watch->count)
			break;
		deadline += watch->interval;
		if (deadline < monotonic_seconds())
			deadline = monotonic_seconds();
		if (wait_until(watch, deadline))
			break;
	}
}

/* Reads the command line into watch. */
static void
parse_options(int argc, char **argv, ConnOptions *options, Watch *watch)
{
	static const struct option long_options[] = {
		COMMON_LONG_OPTIONS,
		{"count", required_argument, NULL, 'c'},
		{"interval", required_argument, NULL, 'i'},
		{NULL, 0, NULL, 0}};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "c:i:" COMMON_SHORT_OPTIONS, long_options,
							NULL)) != -1)
	{
		if (c == 'c')
		{
			watch->count = strtol(optarg, &end, 10);
			if (end == optarg || *end != '\0' || watch->count <= 0)
				derive_client_usage_error(
					"watch", "invalid value \"%s\" for option --count", optarg);
		}
		else if (c == 'i')
			watch->interval = derive_client_parse_seconds("watch", "--interval", optarg);
		else if (c == OPTION_HELP)
		{
			print_help();
			exit(EXIT_OK);
		}
		else if (!derive_client_common_option(options, c, optarg))
			derive_client_usage_error("watch", NULL);
	}
	if (optind < argc)
		derive_client_usage_error(
			"watch", "too many command-line arguments (first is \"%s\")", argv[optind]);
}

/* Shows pipelines and views until told to end. */
int
derive_client_watch(int argc, char **argv, ConnOptions *options)
{
	Watch watch = {.interval = 1};

	if (derive_client_wants_help(argc, argv))
	{
		print_help();
		return EXIT_OK;
	}
	parse_options(argc, argv, options, &watch);
	watch.conn = derive_client_connect(options);
	watch.terminal = isatty(STDOUT_FILENO);
	/* A background job that touched the terminal's keyboard would be stopped. */
	watch.keyboard = watch.terminal && isatty(STDIN_FILENO) &&
					 tcgetpgrp(STDIN_FILENO) == getpgrp();

	catch_signals(watch.conn);
	take_terminal(&watch);
	watch_loop(&watch);
	restore_terminal();
	watch.keyboard = false;
	if (watch.terminal && watch.view_table)
		draw_tables(&watch, INT_MAX, INT_MAX, "\n");
	derive_client_flush();
	PQfinish(watch.conn);
	return EXIT_OK;
}
